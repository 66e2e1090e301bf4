// Parameters read, and their gradients written, in whichever type they have.
#pragma once

#include "call.h"
#include "vector.h"

inline float parameter(const Call& call, int p, int64_t i = 0) {
  const void* from = call.parameters[p];
  switch (call.parameter_type) {
    case FLOAT32: return ((const float*)from)[i];
    case BFLOAT16: return load((const Bfloat16*)from + i, 1)[0];
    default: return load((const Float16*)from + i, 1)[0];
  }
}

inline void set_gradient(const Call& call, int p, int64_t i, double value) {
  void* to = call.gradients[p];
  switch (call.parameter_type) {
    case FLOAT32: ((float*)to)[i] = (float)value; break;
    case BFLOAT16: store((Bfloat16*)to + i, all((float)value), 1); break;
    default: store((Float16*)to + i, all((float)value), 1);
  }
}
