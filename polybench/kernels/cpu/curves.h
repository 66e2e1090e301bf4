// Activations of one number: f(x), and f'(x) by hand. What a caller does not use of a point is not computed.
#pragma once

#include "elementary.h"

struct Point {
  Vector value, slope;
};

inline Point relu2(Vector x) {
  Vector above = at_least(x, 0.0f);
  return {above * above, 2.0f * above};
}

inline Point gelu(Vector x) {
  Normal at = normal(x);
  return {x * at.below, at.below + x * at.density};
}

// x times the logistic of 2 sqrt(2 / pi) (x + 0.044715 x^3), arXiv:1606.08415. At 16 that is 0 or 1 already.
inline Point gelu_tanh(Vector x) {
  constexpr float LINE = 1.595769121605731f, CUBE = 0.044715f * LINE;
  Logistic at = logistic(x * (LINE + CUBE * (x * x)));
  Vector size = at_most(magnitude(x), 16.0f);
  return {x * at.at, at.at + x * at.slope * (LINE + 3.0f * CUBE * (size * size))};
}

inline Point silu(Vector x) {
  Logistic at = logistic(x);
  return {x * at.at, at.at + x * at.slope};
}
