// A call divided among threads, row by row.
#pragma once

#include "parallel.h"
#include "rows_alone.h"

constexpr int ONE_PASS_ORDER = 3;  // what is served in one pass, up to this order

struct Gradients {
  double of[MOST_ORDER + 1] = {};  // of the coefficients, b first
};

template <class T, bool GATED, bool BACKWARD> struct Rows {
  const Call& call;
  const Settings& set;

  Row<T> at(int64_t n) const {
    int64_t one = n * call.width, both = one * (1 + GATED);
    return {(const T*)call.x + both, (const T*)call.dy + one, (T*)call.out + (BACKWARD ? both : one)};
  }

  void each_alone(int64_t begin, int64_t end, double* gradients) const {
    Alone own(call.width);
    for (int64_t n = begin; n < end; n++) alone<T, GATED, BACKWARD>(at(n), set, own, gradients);
  }

  void in_one_pass(int64_t begin, int64_t end, double* gradients, bool streamed) const {
    const Pass<ONE_PASS_ORDER, T, GATED, BACKWARD> pass{set.width, set.clamp, streamed};
    Row<T> next, last;
    Polynomials<ONE_PASS_ORDER> of;
    bool waits = false;  // `last` is summed and not written
    for (int64_t n = begin; n < end; n++, last = next) {
      Totals<ONE_PASS_ORDER> totals;
      next = at(n);
      pass(&next, waits ? &last : nullptr, of, totals);
      waits = plain(set, totals, BACKWARD);
      if (waits) of = polynomials(set, totals, 0, gradients);
      else each_alone(n, n + 1, gradients);
    }
    Totals<ONE_PASS_ORDER> none;
    if (waits) pass(nullptr, &last, of, none);
    if (streamed) drained();
  }
};

// The gradients of coefficients are the same for the same number of threads.
template <class T, bool GATED, bool BACKWARD> void rows(const Call& call, const Settings& set) {
  const Rows<T, GATED, BACKWARD> own_rows{call, set};
  int64_t bytes = call.width * sizeof(T);
  bool streamed = bytes % 64 == 0 && streams(call.out, call.rows * bytes * (GATED && BACKWARD ? 2 : 1));
  bool one_pass = set.order <= ONE_PASS_ORDER && !set.piecewise && !set.relu;
  std::vector<Gradients> parts(call.threads);
  divided(call.width ? call.rows : 0, 1, call.threads, [&](int64_t part, int64_t begin, int64_t end) {
    Gradients own;
    double* gradients = BACKWARD ? own.of : nullptr;
    if (one_pass) own_rows.in_one_pass(begin, end, gradients, streamed);
    else own_rows.each_alone(begin, end, gradients);
    parts[part] = own;
  });
  if constexpr (BACKWARD) {
    Gradients whole;
    for (const Gradients& part : parts)
      for (int p = 0; p <= set.order; p++) whole.of[p] += part.of[p];
    set_gradient(call, 1, 0, whole.of[0]);
    for (int p = 1; p <= set.order; p++) set_gradient(call, 0, set.order - p, whole.of[p]);
  }
}

template <bool GATED, bool BACKWARD> int rows_of(const Call& call) {
  if (call.order < 1 || call.order > MOST_ORDER) return NOT_SERVED;
  Settings set(call, GATED);
  return by_type(call.type, [&](auto type) { rows<decltype(type), GATED, BACKWARD>(call, set); });
}
