// PolyNorm along a row: sums of powers, and the polynomials that they give.
//
// With S_p = sum x^2p, r_p = rsqrt(S_p / F + eps), D_p = sum dy x^p and m_p = r_p D_p / F (1 in place of F for l2):
//   y  = b + sum over p of w_p r_p x^p,   dw_p = r_p D_p,   db = D_0,
//   dx = dy sum of p w_p r_p x^(p-1) - x sum of p w_p r_p^2 m_p x^2(p-1).
// The same of z = x / s with eps / s^2p for eps gives y and dx s, so that no power need overflow.
#pragma once

#include <cmath>

#include "parameters.h"

// Sums and polynomials are of a fixed order R; what a call has no coefficient for is summed and left out.
constexpr int MOST_ORDER = 5;

#define INLINED inline __attribute__((always_inline))  // what keeps sums in registers

// What a call says of every row.
struct Settings {
  int64_t width;
  int order;
  double share;  // what makes a sum the mean, or 1
  double eps, bias, weight[MOST_ORDER];  // weight[p - 1] is w_p
  float clamp;                           // of a gate and its value; 0 for none
  bool piecewise, relu;

  explicit Settings(const Call& call, bool gated)
      : width(call.width), order(call.order), share(call.constants[1] != 0 ? 1 : 1.0 / call.width), eps(call.constants[0]),
        bias(parameter(call, 1)), clamp(gated ? call.constants[2] : 0), piecewise(!gated && call.constants[2] != 0),
        relu(!gated && call.constants[3] != 0) {
    for (int p = 1; p <= order; p++) weight[p - 1] = parameter(call, 0, order - p);
  }
};

// Sums along a row, or over all rows of a thread where they are gradients.
template <int R> struct Totals {
  double squares[R] = {};    // S_1, ..., S_R
  double along[R + 1] = {};  // D_0, ..., D_R
};

// Some of them in float32, lane by lane. `piecewise`: D_p of odd p above 1 is of where x is above 0.
template <int R, bool BACKWARD> struct Sums {
  Vector squares[R] = {}, along[BACKWARD ? R + 1 : 1] = {};

  INLINED void add(Vector x) {
    Vector square = x * x, power = square;
    squares[0] += power;
#pragma GCC unroll 8
    for (int p = 1; p < R; p++) squares[p] += power *= square;
  }

  INLINED void add(Vector x, Vector dy, bool piecewise) {
    add(x);
    Vector square = x * x, power = all(1), odd = (piecewise ? choose(x > 0.0f, dy, Vector{}) : dy) * x;
    along[0] += dy;
    along[1] += dy * x;
#pragma GCC unroll 8
    for (int p = 2; p <= R; p++) {
      if (p % 2 == 0) power *= square;
      along[p] += (p % 2 ? odd : dy) * power;
    }
  }

  // Those of `other` beside these.
  inline void into(Totals<R>& totals, const Sums& other) const {
#pragma GCC unroll 8
    for (int p = 0; p < R; p++) totals.squares[p] += sum(squares[p] + other.squares[p]);
    if (!BACKWARD) return;
#pragma GCC unroll 8
    for (int p = 0; p <= R; p++) totals.along[p] += sum(along[p] + other.along[p]);
  }
};

// y = sum value[p] x^p, dx = dy sum slope[p] x^p - x sum pull[p] x^2p.
template <int R> struct Polynomials {
  float value[R + 1] = {}, slope[R] = {}, pull[R] = {};

  // Without the odd powers above the first: `piecewise`, below 0.
  Polynomials even() const {
    Polynomials found = *this;
    for (int p = 3; p <= R; p += 2) found.value[p] = found.slope[p - 1] = 0;
    return found;
  }
};

// The same factors in every lane.
template <int R> struct Factors {
  Vector of[R];

  explicit INLINED Factors(const float (&factors)[R]) {
    for (int p = 0; p < R; p++) of[p] = all(factors[p]);
  }

  INLINED Vector operator()(Vector x) const {
    Vector y = of[R - 1];
#pragma GCC unroll 8
    for (int p = R - 2; p >= 0; p--) y = y * x + of[p];
    return y;
  }
};

// What the polynomials become of a whole row. BENT is `piecewise` or `relu`, which is taken of x before.
template <int R, bool BENT> struct Curves {
  const Settings& set;
  Factors<R + 1> values, values_below;
  Factors<R> slopes, slopes_below, pulls;

  INLINED Curves(const Settings& all, const Polynomials<R>& of)
      : set(all), values(of.value), values_below(of.even().value),
        slopes(of.slope), slopes_below(of.even().slope), pulls(of.pull) {}

  INLINED Vector value(Vector x) const {
    return BENT && set.piecewise ? choose(x > 0.0f, values(x), values_below(x)) : values(x);
  }

  INLINED Vector gradient(Vector x, Vector dy) const {
    Vector slope = BENT && set.piecewise ? choose(x > 0.0f, slopes(x), slopes_below(x)) : slopes(x);
    Vector dx = dy * slope - x * pulls(x * x);
    return BENT && set.relu ? choose(x <= 0.0f, Vector{}, dx) : dx;
  }
};

// From the sums of x / 2^exponent; adds to `gradients`, unless it is null, what the row gives to db and dw.
template <int R>
inline Polynomials<R> polynomials(const Settings& set, const Totals<R>& row, int exponent, double* gradients) {
  Polynomials<R> found;
  double down = exponent ? std::ldexp(1, -exponent) : 1;
  found.value[0] = set.bias;
  if (gradients) gradients[0] += row.along[0];
#pragma GCC unroll 8
  for (int p = 1; p <= R; p++) {
    if (p > set.order) break;
    double eps = exponent ? std::ldexp(set.eps, -2 * p * exponent) : set.eps;
    double r = 1 / std::sqrt(row.squares[p - 1] * set.share + eps), factor = set.weight[p - 1] * r;
    found.value[p] = factor;
    if (!gradients) continue;
    double along = r * row.along[p];
    gradients[p] += along;
    found.slope[p - 1] = p * factor * down;
    found.pull[p - 1] = p * factor * r * along * set.share * down;
  }
  return found;
}

// Whether float32 held every power and sum with room to spare, and no sum that matters beside eps vanished.
template <int R> inline bool plain(const Settings& set, const Totals<R>& row, bool backward) {
  constexpr double ROOM = 0x1p80, LEAST = 0x1p-60, LEAST_SQUARES = 0x1p-120;
  bool fits = row.squares[0] >= LEAST_SQUARES && row.squares[0] < ROOM && row.squares[R - 1] < ROOM;
  if (backward)
    for (double along : row.along) fits = fits && std::fabs(along) < ROOM;
  return fits && (set.eps >= LEAST || row.squares[R - 1] >= LEAST);
}
