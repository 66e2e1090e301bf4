// A call divided among threads, row by row.
#pragma once

#include "parallel.h"
#include "rows_alone.h"

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

  template <int R, bool BENT> void in_one_pass(int64_t begin, int64_t end, double* gradients, bool streamed) const {
    const Pass<R, T, GATED, BACKWARD, BENT> pass(set, streamed);
    Alone own;
    Row<T> next, last;
    Polynomials<R> of;
    bool waits = false;  // `last` is summed and not written
    for (int64_t n = begin; n < end; n++, last = next) {
      Totals<R> totals;
      next = at(n);
      pass(&next, waits ? &last : nullptr, of, totals);
      waits = plain(set, totals, BACKWARD);
      if (waits) of = polynomials(set, totals, 0, gradients);
      else alone<T, GATED, BACKWARD>(next, set, own, gradients);
    }
    Totals<R> none;
    if (waits) pass(nullptr, &last, of, none);
    if (streamed) drained();
  }
};

// The gradients of coefficients are the same for the same number of threads.
template <class T, bool GATED, bool BACKWARD> void rows(const Call& call, const Settings& set) {
  const Rows<T, GATED, BACKWARD> own_rows{call, set};
  int64_t bytes = call.width * sizeof(T);
  bool streamed = bytes % 64 == 0 && streams(call.out, call.rows * bytes * (GATED && BACKWARD ? 2 : 1));
  bool usual = set.order <= 3 && !set.piecewise && !set.relu;
  std::vector<Gradients> parts(call.threads);
  divided(call.width ? call.rows : 0, 1, call.threads, [&](int64_t part, int64_t begin, int64_t end) {
    Gradients own;
    double* gradients = BACKWARD ? own.of : nullptr;
    if (usual) own_rows.template in_one_pass<3, false>(begin, end, gradients, streamed);
    else own_rows.template in_one_pass<MOST_ORDER, !GATED>(begin, end, gradients, streamed);
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
