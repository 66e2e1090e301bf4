// What Python hands to a kernel: the address of one of these, packed by polybench/kernels/native.py.
//
// Every kernel is two functions of C, NAME_forward and NAME_backward, that take a Call and answer OK or NOT_SERVED.
// x is (rows, G*width), y and dy are (rows, width), all contiguous and of `type`; out is y, or dx like x.
// Gradients of parameters are written, not added to, in the type of the parameters.
#pragma once

#include <cstdint>

enum Type : int64_t { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2 };
enum Answer : int { OK = 0, NOT_SERVED = 1 };

constexpr int MOST_PARAMETERS = 3, MOST_CONSTANTS = 8;

struct Call {
  const void* x;
  const void* dy;
  void* out;
  const void* parameters[MOST_PARAMETERS];
  void* gradients[MOST_PARAMETERS];
  int64_t rows, width;
  int64_t type, parameter_type;
  int64_t order;  // numbers in parameters[0]
  int64_t threads;
  double constants[MOST_CONSTANTS];  // in the order of the kernel's declaration
};
