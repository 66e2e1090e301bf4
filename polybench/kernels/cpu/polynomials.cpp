// PolyReLU and PolyPReLU of orders 1 to 5, by Horner's rule.
#include "elementary.h"
#include "parameters.h"
#include "pointwise.h"

namespace {

// sum of a_i z^i for i = 0..ORDER, z = x above 0 and below it slope * x (LEAKY) or 0; parameters[0] holds a_ORDER first.
template <int ORDER, bool LEAKY> struct Polynomial {
  static constexpr int BIAS = ORDER, SLOPE = ORDER + 1, SUMS = ORDER + 1 + LEAKY;
  float weight[ORDER], bias, slope;

  explicit Polynomial(const Call& call) : bias(parameter(call, 1)), slope(LEAKY ? parameter(call, 2) : 0.0f) {
    for (int i = 0; i < ORDER; i++) weight[i] = parameter(call, 0, i);
  }

  Vector kinked(Vector x) const { return LEAKY ? choose(x > 0.0f, x, slope * x) : at_least(x, 0.0f); }

  Vector value(Vector x) const {
    Vector z = kinked(x), inner = all(weight[0]);
    for (int i = 1; i < ORDER; i++) inner = inner * z + weight[i];
    return inner * z + bias;
  }

  Vector gradient(Vector x, Vector dy, Vector* sums) const {
    Vector z = kinked(x), inner = all(weight[0]), derivative = all(weight[0]), moment = dy;
    for (int i = 1; i < ORDER; i++) {
      inner = inner * z + weight[i];
      derivative = derivative * z + inner;
    }
    sums[BIAS] += dy;
    for (int i = ORDER - 1; i >= 0; i--) sums[i] += moment = moment * z;
    Vector dz = dy * derivative;
    if constexpr (!LEAKY) return choose(x <= 0.0f, Vector{}, dz);
    sums[SLOPE] += choose(x > 0.0f, Vector{}, dz * x);
    return choose(x > 0.0f, dz, slope * dz);
  }

  void finish(const Call& call, const double* totals) const {
    for (int i = 0; i < ORDER; i++) set_gradient(call, 0, i, totals[i]);
    set_gradient(call, 1, 0, totals[BIAS]);
    if (LEAKY) set_gradient(call, 2, 0, totals[SLOPE]);
  }
};

template <bool LEAKY, int ORDER = 1> int polynomial_forward(const Call& call) {
  if (call.order == ORDER) return forward<Polynomial<ORDER, LEAKY>>(call);
  if constexpr (ORDER < 5) return polynomial_forward<LEAKY, ORDER + 1>(call);
  return NOT_SERVED;
}

template <bool LEAKY, int ORDER = 1> int polynomial_backward(const Call& call) {
  if (call.order == ORDER) return backward<Polynomial<ORDER, LEAKY>>(call);
  if constexpr (ORDER < 5) return polynomial_backward<LEAKY, ORDER + 1>(call);
  return NOT_SERVED;
}

}  // namespace

extern "C" {
int polyrelu_forward(const Call* call) { return polynomial_forward<false>(*call); }
int polyrelu_backward(const Call* call) { return polynomial_backward<false>(*call); }
int polyprelu_forward(const Call* call) { return polynomial_forward<true>(*call); }
int polyprelu_backward(const Call* call) { return polynomial_backward<true>(*call); }
}
