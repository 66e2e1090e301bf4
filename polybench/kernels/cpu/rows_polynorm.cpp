// PolyNorm, arXiv:2411.03884: of x or of relu(x), with all powers or none of the odd ones above the first below 0.
#include "rows_call.h"

extern "C" {
int polynorm_forward(const Call* call) { return rows_of<false, false>(*call); }
int polynorm_backward(const Call* call) { return rows_of<false, true>(*call); }
}
