// PolyNorm of a gate, times a value, arXiv:2508.09148.
#include "rows_call.h"

extern "C" {
int gated_polynorm_forward(const Call* call) { return rows_of<true, false>(*call); }
int gated_polynorm_backward(const Call* call) { return rows_of<true, true>(*call); }
}
