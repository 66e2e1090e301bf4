// exp, expm1, the logistic and the normal distribution, a vector at a time.
//
// All of them ask for exp(-a) with a >= 0 alone, so nothing overflows: 2^n e^r, n the nearest whole number to -a / ln 2
// and |r| <= ln(2) / 2, as Cody and Waite, Software Manual for the Elementary Functions, 1980. Coefficients are our own
// minimax fits, by Lawson's weights in 40 digits. NaN goes through.
#pragma once

#include "vector.h"

inline Vector at_most(Vector x, float bound) {
#if defined(__AVX512F__)
  return (Vector)_mm512_min_ps((__m512)all(bound), (__m512)x);  // x where it is NaN
#else
  return choose(x > bound, all(bound), x);
#endif
}

inline Vector at_least(Vector x, float bound) {
#if defined(__AVX512F__)
  return (Vector)_mm512_max_ps((__m512)all(bound), (__m512)x);
#else
  return choose(x < bound, all(bound), x);
#endif
}

// -a = n ln(2) + r.
struct Reduced {
  Vector n, r;
#if !defined(__AVX512F__)
  Bits bits;  // the low ones are n
#endif
};

// Above 104, where exp(-a) is 0, as at 104.
inline Reduced reduced(Vector a) {
  constexpr float ROUNDS = 0x1.8p23f;  // adding it leaves no bits behind the point
  a = at_most(a, 104.0f);
  Vector shifted = ROUNDS - a * 0x1.715476p+0f;
  Vector n = shifted - ROUNDS;
  Vector r = -a - n * 0x1.62e400p-1f;  // ln 2 in two parts, the first so short that n times it is exact
  r = r - n * 0x1.7f7d1cp-20f;
#if defined(__AVX512F__)
  return {n, r};
#else
  return {n, r, (Bits)shifted};
#endif
}

// value 2^n, rounded once where that is subnormal.
inline Vector times_power(Vector value, const Reduced& x) {
#if defined(__AVX512F__)
  return (Vector)_mm512_scalef_ps((__m512)value, (__m512)x.n);
#else
  return value * (Vector)((x.bits + (127u + 25u)) << 23) * 0x1p-25f;
#endif
}

// (e^r - 1) / r, to 1.4e-8 of it.
inline Vector quotient(Vector r) {
  Vector p = 0.00138873144374f * r + 0.0083663992014f;
  p = p * r + 0.0416670990525f;
  p = p * r + 0.166665449082f;
  p = p * r + 0.499999986684f;
  return p * r + 1.0f;
}

// exp(-a), a >= 0, within 1.2 ulp.
inline Vector exp_of_minus(Vector a) {
  Reduced at = reduced(a);
  return times_power(quotient(at.r) * at.r + 1.0f, at);
}

// exp(-a) - 1, a >= 0, within 1.4 ulp.
inline Vector expm1_of_minus(Vector a) {
  Reduced at = reduced(a);
  Vector power = times_power(all(1.0f), at);
  return power * at.r * quotient(at.r) + (power - 1.0f);
}

// The logistic function, within 2.7 ulp, and its derivative.
struct Logistic {
  Vector at, slope;
};

inline Logistic logistic(Vector x) {
  Vector e = exp_of_minus(magnitude(x));
  Vector above = 1.0f / (1.0f + e), below = e * above;  // at |x| and -|x|: neither is a difference
  return {choose(x > 0.0f, above, below), above * below};
}

// The normal distribution: Phi(x) and its density.
struct Normal {
  Vector below, density;
};

// Phi(-a) = exp(-a^2 / 2) times a function that falls from 1/2 to 0.03 at a = 14.5, beyond which exp is 0: a quotient
// of polynomials right to 5.9e-9 of it, all of whose terms are positive. Within 2.5 ulp above 0; below it the rounding
// of a^2 adds a^2 / 2 ulp at most.
inline Normal normal(Vector x) {
  Vector a = at_most(magnitude(x), 14.5f);
  Vector e = exp_of_minus(0.5f * a * a);
  Vector p = 0.00411680430043f * a + 0.0406363032763f;
  p = p * a + 0.183243896478f;
  p = p * a + 0.438306194936f;
  p = p * a + 0.500000003045f;
  Vector q = 0.0103191783623f * a + 0.101866551696f;
  q = q * a + 0.469493867988f;
  q = q * a + 1.20253858607f;
  q = q * a + 1.67449737455f;
  q = q * a + 1.0f;
  Vector tail = e * p / q;
  return {choose(x > 0.0f, 1.0f - tail, tail), e * 0.398942280401f};
}
