// An activation of single numbers as passes over memory: forward reads x and writes y, backward reads x and dy and
// writes dx.
//
// A Curve has value(x) and gradient(x, dy, sums), which gives dx and adds to the first SUMS of `sums` what belongs to
// its parameters, 0 where x and dy are 0. finish(call, totals) writes the gradients of the parameters.
#pragma once

#include <vector>

#include "parallel.h"
#include "passes.h"

constexpr int64_t BLOCK = 4096;  // numbers that are summed in float32, and the least that a thread is given

template <class T, class Curve>
inline void forward_block(const T* x, T* y, int64_t count, const Curve& curve, bool streamed) {
  auto value = [&](Pair in) { return Pair{curve.value(in.a), curve.value(in.b)}; };
  int64_t i = 0;
  for (; i + PAIR <= count; i += PAIR) write_pair(y + i, value(load_pair(x + i)), streamed);
  if (i < count) store_pair(y + i, value(load_pair(x + i, count - i)), count - i);
}

template <class T, class Curve>
inline void backward_block(
    const T* x, const T* dy, T* dx, int64_t count, const Curve& curve, double* totals, bool streamed) {
  Vector sums[Curve::SUMS + 1] = {};  // one more, so that none is an array too
  auto gradient = [&](Pair in, Pair over) {
    return Pair{curve.gradient(in.a, over.a, sums), curve.gradient(in.b, over.b, sums)};
  };
  int64_t i = 0;
  for (; i + PAIR <= count; i += PAIR)
    write_pair(dx + i, gradient(load_pair(x + i), load_pair(dy + i)), streamed);
  if (i < count)
    store_pair(dx + i, gradient(load_pair(x + i, count - i), load_pair(dy + i, count - i)), count - i);
  for (int s = 0; s < Curve::SUMS; s++) totals[s] += sum(sums[s]);
}

template <class T, class Curve> void forward_pass(const Call& call, const Curve& curve) {
  int64_t count = call.rows * call.width;
  bool streamed = streams(call.out, count * sizeof(T));
  divided(count, BLOCK, call.threads, [&](int64_t, int64_t begin, int64_t end) {
    forward_block((const T*)call.x + begin, (T*)call.out + begin, end - begin, curve, streamed);
    if (streamed) drained();
  });
}

// The sums are the same for the same number of threads.
template <class T, class Curve> void backward_pass(const Call& call, const Curve& curve) {
  struct Totals {
    double of[Curve::SUMS + 1] = {};
  };
  int64_t count = call.rows * call.width;
  bool streamed = streams(call.out, count * sizeof(T));
  std::vector<Totals> parts(call.threads);
  divided(count, BLOCK, call.threads, [&](int64_t part, int64_t begin, int64_t end) {
    Totals own;
    for (int64_t i = begin; i < end; i += BLOCK)
      backward_block((const T*)call.x + i, (const T*)call.dy + i, (T*)call.out + i, std::min(BLOCK, end - i), curve,
                     own.of, streamed);
    if (streamed) drained();
    parts[part] = own;
  });
  Totals whole;
  for (const Totals& part : parts)
    for (int s = 0; s < Curve::SUMS; s++) whole.of[s] += part.of[s];
  curve.finish(call, whole.of);
}

template <class Curve> int forward(const Call& call) {
  return by_type(call.type, [&](auto type) { forward_pass<decltype(type)>(call, Curve(call)); });
}

template <class Curve> int backward(const Call& call) {
  return by_type(call.type, [&](auto type) { backward_pass<decltype(type)>(call, Curve(call)); });
}
