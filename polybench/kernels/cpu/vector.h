// Vectors of float32 numbers, and how other types become them: 16 lanes with AVX-512, 8 with AVX2, else 4.
//
// Which of them is decided when this is compiled; one library is built for each kind of CPU (library.py).
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

struct Bfloat16 { uint16_t bits; };
struct Float16 { uint16_t bits; };

inline Vector all(float value) { return Vector{} + value; }

inline Vector choose(Integers where, Vector yes, Vector no) { return where ? yes : no; }

template <class T> inline Vector load(const T* from);
template <class T> inline void store(T* to, Vector value);
