// A row by itself, in float32 and divided by a power of two: rows whose powers float32 does not hold, and rows with
// infinities or NaN.
#pragma once

#include <vector>

#include "rows_pass.h"

// The input of a row and the gradient of its output as the polynomials see them, zeros beyond the end.
struct Alone {
  std::vector<float> x, dy;
};

// body(place, span) for all places of a row.
template <class Body> inline void along(int64_t width, const Body& body) {
  int64_t i = 0;
  for (; i + PAIR <= width; i += PAIR) body(i, Whole{});
  if (i < width) body(i, Part{(int)(width - i)});
}

// e such that |x| / 2^e is at most 1 and its largest above 1/2; 0 where x is 0, infinite or NaN.
inline int exponent_of(const std::vector<float>& x) {
  Bits most{};
  for (size_t i = 0; i + LANES <= x.size(); i += LANES) {
    Bits size = (Bits)magnitude(load(&x[i]));
    most = (Integers)(size > most) ? size : most;
  }
  uint32_t largest = 0;
  for (int i = 0; i < LANES; i++) largest = std::max(largest, (uint32_t)most[i]);
  float value;
  memcpy(&value, &largest, sizeof value);
  int exponent = 0;
  if (std::isfinite(value)) std::frexp(value, &exponent);
  return std::max(exponent, -126);
}

template <class T, bool GATED, bool BACKWARD>
void alone(const Row<T>& row, const Settings& set, Alone& own, double* gradients) {
  constexpr int R = MOST_ORDER;
  int64_t width = set.width, padded = (width + PAIR - 1) / PAIR * PAIR;  // lanes of a pair are in any order
  own.x.resize(padded), own.dy.resize(padded);
  auto inside = [&](Vector x) { return GATED && set.clamp > 0 ? held(x, set.clamp) : x; };
  auto pair_inside = [&](Pair x) { return Pair{inside(x.a), inside(x.b)}; };
  along(width, [&](int64_t i, auto span) {
    Pair x = pair_inside(span.again(row.x + i));
    if (set.relu) x = {relu_of(x.a), relu_of(x.b)};
    store_pair(&own.x[i], x);
    if constexpr (BACKWARD) {
      Pair dy = span.again(row.dy + i);
      Pair value = GATED ? pair_inside(span.again(row.x + width + i)) : Pair{all(1), all(1)};
      store_pair(&own.dy[i], Pair{dy.a * value.a, dy.b * value.b});
    }
  });
  int exponent = exponent_of(own.x);
  Vector down = all(std::ldexp(1.0f, -exponent));
  Totals<R> totals;
  for (int64_t i = 0; i < padded;) {
    Sums<R, BACKWARD> sums;
    for (int64_t end = std::min(padded, i + BLOCK); i < end; i += LANES) {
      Vector x = load(&own.x[i]) * down;
      store(&own.x[i], x);
      if constexpr (BACKWARD) sums.add(x, load(&own.dy[i]), set.piecewise);
      else sums.add(x);
    }
    sums.into(totals, Sums<R, BACKWARD>());
  }
  const Curves<R, true> of(set, polynomials(set, totals, exponent, gradients));
  along(width, [&](int64_t i, auto span) {
    Pair x = load_pair(&own.x[i]);
    if constexpr (!BACKWARD) {
      Pair factor = GATED ? pair_inside(span.again(row.x + width + i)) : Pair{all(1), all(1)};
      span.store(row.out + i, {of.value(x.a) * factor.a, of.value(x.b) * factor.b}, false);
    } else {
      Pair dy = load_pair(&own.dy[i]), dx = {of.gradient(x.a, dy.a), of.gradient(x.b, dy.b)}, dvalue = {};
      if constexpr (GATED) {
        Pair over = span.again(row.dy + i);
        dvalue = {over.a * of.value(x.a), over.b * of.value(x.b)};
        if (set.clamp > 0) {
          Pair x_free = span.again(row.x + i), value_free = span.again(row.x + width + i);
          dx = {free_part(x_free.a, set.clamp, dx.a), free_part(x_free.b, set.clamp, dx.b)};
          dvalue = {free_part(value_free.a, set.clamp, dvalue.a), free_part(value_free.b, set.clamp, dvalue.b)};
        }
        span.store(row.out + width + i, dvalue, false);
      }
      span.store(row.out + i, dx, false);
    }
  });
}
