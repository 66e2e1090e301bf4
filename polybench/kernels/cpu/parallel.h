// Rows, or parts of a long line, divided among threads.
#pragma once

#include <algorithm>
#include <cstdint>

// body(part, begin, end) for `threads` parts of 0..count, each a multiple of `grain` but the last.
template <class Body> inline void divided(int64_t count, int64_t grain, int64_t threads, const Body& body) {
  int64_t grains = (count + grain - 1) / grain;
  int64_t parts = std::max<int64_t>(1, std::min(threads, grains));
#pragma omp parallel for schedule(static, 1) num_threads(parts) if (parts > 1)
  for (int64_t part = 0; part < parts; part++)
    body(part, std::min(count, grains * part / parts * grain), std::min(count, grains * (part + 1) / parts * grain));
}
