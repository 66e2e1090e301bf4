// Squared ReLU, GELU, SiLU and xIELU.
#include "pointwise.h"

#include <cmath>

#include "curves.h"
#include "parameters.h"

namespace {

// A curve without parameters.
template <Point (*CURVE)(Vector)> struct Plain {
  static constexpr int SUMS = 0;
  explicit Plain(const Call&) {}
  Vector value(Vector x) const { return CURVE(x).value; }
  Vector gradient(Vector x, Vector dy, Vector*) const { return dy * CURVE(x).slope; }
  void finish(const Call&, const double*) const {}
};

double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }  // as torch has it

// a_p x^2 + beta x above 0, a_n (expm1(x) - x) + beta x below, a_p = softplus(alpha_p), a_n = beta + softplus(alpha_n).
struct Xielu {
  static constexpr int SUMS = 2;
  double alpha_p, alpha_n;
  float a_p, a_n, beta;

  explicit Xielu(const Call& call)
      : alpha_p(parameter(call, 0)), alpha_n(parameter(call, 1)), a_p(softplus(alpha_p)),
        a_n(call.constants[0] + softplus(alpha_n)), beta(call.constants[0]) {}

  Vector value(Vector x) const {
    Vector depth = at_least(-x, 0.0f);
    return choose(x > 0.0f, a_p * (x * x), a_n * (expm1_of_minus(depth) + depth)) + beta * x;
  }

  Vector gradient(Vector x, Vector dy, Vector* sums) const {
    Vector height = at_least(x, 0.0f), depth = at_least(-x, 0.0f), curved = expm1_of_minus(depth);
    sums[0] += dy * (height * height);
    sums[1] += dy * (curved + depth);
    return dy * (choose(x > 0.0f, 2.0f * a_p * x, a_n * curved) + beta);
  }

  void finish(const Call& call, const double* totals) const {
    set_gradient(call, 0, 0, totals[0] / (1 + std::exp(-alpha_p)));
    set_gradient(call, 1, 0, totals[1] / (1 + std::exp(-alpha_n)));
  }
};

}  // namespace

extern "C" {
int relu2_forward(const Call* call) { return forward<Plain<relu2>>(*call); }
int relu2_backward(const Call* call) { return backward<Plain<relu2>>(*call); }
int gelu_forward(const Call* call) { return forward<Plain<gelu>>(*call); }
int gelu_backward(const Call* call) { return backward<Plain<gelu>>(*call); }
int gelu_tanh_forward(const Call* call) { return forward<Plain<gelu_tanh>>(*call); }
int gelu_tanh_backward(const Call* call) { return backward<Plain<gelu_tanh>>(*call); }
int silu_forward(const Call* call) { return forward<Plain<silu>>(*call); }
int silu_backward(const Call* call) { return backward<Plain<silu>>(*call); }
int xielu_forward(const Call* call) { return forward<Xielu>(*call); }
int xielu_backward(const Call* call) { return backward<Xielu>(*call); }
}
