// One pass over memory for many rows: while a row is summed, the one before it is written.
//
// So reading and writing share the bus as they do in a copy; what is written needs only the row before, which is still
// in the cache. A gate and its value are the two halves of a row of x.
#pragma once

#include "passes.h"
#include "rows.h"

constexpr int64_t BLOCK = 8192;  // numbers that are summed in float32
constexpr int AHEAD = 4096;      // bytes that are asked for before they are read

template <class T> struct Row {
  const T *x, *dy;
  T* out;
};

struct Whole {
  template <class T> Pair load(const T* from) const {
    __builtin_prefetch((const char*)from + AHEAD);
    if constexpr (PAIR * sizeof(T) > 64) __builtin_prefetch((const char*)from + AHEAD + 64);
    return load_pair(from);
  }
  template <class T> Pair again(const T* from) const { return load_pair(from); }
  template <class T> void store(T* to, Pair x, bool streamed) const { write_pair(to, x, streamed); }
};

struct Part {
  int count;
  template <class T> Pair load(const T* from) const { return load_pair(from, count); }
  template <class T> Pair again(const T* from) const { return load_pair(from, count); }
  template <class T> void store(T* to, Pair x, bool) const { store_pair(to, x, count); }
};

inline Vector relu_of(Vector x) { return choose(x < 0.0f, Vector{}, x); }

inline Vector held(Vector x, float most) {
  return choose(x > most, all(most), choose(x < -most, all(-most), x));
}

inline Vector free_part(Vector x, float most, Vector gradient) {
  return choose(magnitude(x) <= most, gradient, Vector{});
}

template <int R, class T, bool GATED, bool BACKWARD, bool BENT> struct Pass {
  using Sum = Sums<R, BACKWARD>;
  using Curve = Curves<R, BENT>;
  const Settings& set;
  const int64_t width;
  const float clamp;
  const bool streamed;

  Pass(const Settings& all, bool streams) : set(all), width(all.width), clamp(all.clamp), streamed(streams) {}

  INLINED Vector inside(Vector x) const {
    if (GATED) return clamp > 0 ? held(x, clamp) : x;
    return BENT && set.relu ? relu_of(x) : x;
  }

  // Adds places j.. of a row to the sums.
  template <class Span> INLINED void read(const Row<T>& row, int64_t j, Span span, Sum& a, Sum& b) const {
    Pair x = span.load(row.x + j), dy = {};
    if constexpr (BACKWARD) dy = span.load(row.dy + j);
    if constexpr (GATED && BACKWARD) {
      Pair value = span.load(row.x + width + j);
      dy = {dy.a * inside(value.a), dy.b * inside(value.b)};
    }
    x = {inside(x.a), inside(x.b)};
    if constexpr (BACKWARD) a.add(x.a, dy.a, BENT && set.piecewise), b.add(x.b, dy.b, BENT && set.piecewise);
    else a.add(x.a), b.add(x.b);
  }

  struct Written {
    Vector first, second;
  };

  INLINED Written written(Vector x, Vector value, Vector dy, const Curve& of) const {
    Vector gate = inside(x), factor = inside(value);
    if constexpr (!BACKWARD) {
      Vector y = of.value(gate);
      return {GATED ? y * factor : y, Vector{}};
    }
    if constexpr (!GATED) return {of.gradient(gate, dy), Vector{}};
    Written out = {of.gradient(gate, dy * factor), dy * of.value(gate)};
    if (clamp > 0) out = {free_part(x, clamp, out.first), free_part(value, clamp, out.second)};
    return out;
  }

  // Writes places j.. of a row whose polynomials are known.
  template <class Span> INLINED void write(const Row<T>& row, int64_t j, Span span, const Curve& of) const {
    Pair x = span.again(row.x + j), value = {}, dy = {};
    if constexpr (GATED) value = span.again(row.x + width + j);
    if constexpr (BACKWARD) dy = span.again(row.dy + j);
    Written a = written(x.a, value.a, dy.a, of), b = written(x.b, value.b, dy.b, of);
    span.store(row.out + j, {a.first, b.first}, streamed);
    if constexpr (GATED && BACKWARD) span.store(row.out + width + j, {a.second, b.second}, streamed);
  }

  // Sums of `next` into `totals` while `last` is written; either may be missing.
  void operator()(const Row<T>* next, const Row<T>* last, const Polynomials<R>& by, Totals<R>& totals) const {
    const Curve of(set, by);
    int64_t whole = width / PAIR * PAIR;
    for (int64_t j = 0; j < width; j += BLOCK) {
      int64_t end = std::min(whole, j + BLOCK);
      Sum a, b;
      if (next && last)
        for (int64_t i = j; i < end; i += PAIR) read(*next, i, Whole{}, a, b), write(*last, i, Whole{}, of);
      else if (next)
        for (int64_t i = j; i < end; i += PAIR) read(*next, i, Whole{}, a, b);
      else
        for (int64_t i = j; i < end; i += PAIR) write(*last, i, Whole{}, of);
      if (width - j <= BLOCK && whole < width) {
        Part rest{(int)(width - whole)};
        if (next) read(*next, whole, rest, a, b);
        if (last) write(*last, whole, rest, of);
      }
      if (next) a.into(totals, b);
    }
  }
};
