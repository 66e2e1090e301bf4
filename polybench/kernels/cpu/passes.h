// What every pass over memory asks: which type, and how to write.
#pragma once

#include "call.h"
#include "vector.h"

// body(T{}) for the type T of a call.
template <class Body> inline int by_type(int64_t type, const Body& body) {
  switch (type) {
    case FLOAT32: return body(float{}), OK;
    case BFLOAT16: return body(Bfloat16{}), OK;
    case FLOAT16: return body(Float16{}), OK;
    default: return NOT_SERVED;
  }
}

// Whether what is written goes past the caches: where it is so large that they would not keep it anyway.
constexpr int64_t STREAMED_BYTES = 8 << 20;

inline bool streams(const void* to, int64_t bytes) { return bytes >= STREAMED_BYTES && streamable(to); }

template <class T> inline void write_pair(T* to, Pair x, bool streamed) {
  if (streamed) stream_pair(to, x);
  else store_pair(to, x);
}
