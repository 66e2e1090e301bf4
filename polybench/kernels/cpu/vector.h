// Vectors of float32 numbers, and how other types become them: 16 lanes with AVX-512, 8 with AVX2, else 4.
//
// Which of them is decided when this is compiled; one library is built for each kind of CPU (library.py).
// A `Pair` is 2 * LANES neighbours, in whichever order of lanes their type is read cheapest: what is loaded as a pair
// is stored as a pair of the same type. A number beyond `count` is read as 0 and is not written.
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
struct Pair { Vector a, b; };

inline Vector all(float value) { return value - Vector{}; }  // which changes nothing, not even -0

inline Vector choose(Integers where, Vector yes, Vector no) { return where ? yes : no; }

inline Vector magnitude(Vector x) { return (Vector)((Bits)x & 0x7fffffffu); }

inline float sum(Vector x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)x);
#else
  float lanes[LANES];
  memcpy(lanes, &x, sizeof x);
  for (int step = LANES / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
  return lanes[0];
#endif
}

// ---- numbers of 16 bits as vectors ----

inline Bits widened(Halves x) { return __builtin_convertvector(x, Bits); }

inline Halves narrowed(Bits x) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  __m256i packed = _mm256_packus_epi32((__m256i)x, (__m256i)x);  // of numbers below 2^16
  return (Halves)_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
#else
  return __builtin_convertvector(x, Halves);
#endif
}

// The upper halves are bfloat16, to nearest and ties to even; NaN stays NaN.
inline Bits rounded_bfloat16(Vector x) {
  Bits bits = (Bits)x, nearest = bits + 0x7fffu + ((bits >> 16) & 1u);
  return (Integers)(x != x) ? (bits | 0x400000u) : nearest;
}

#if defined(__AVX512BF16__)
// The conversion of AVX512_BF16 takes subnormal numbers for zero.
inline bool subnormal(Vector x) { return _mm512_fpclass_ps_mask((__m512)x, 0x20) != 0; }
#endif

inline Vector vector(Halves x, Bfloat16) { return (Vector)(widened(x) << 16); }

inline Halves halves(Vector x, Bfloat16) {
#if defined(__AVX512BF16__)
  if (__builtin_expect(!subnormal(x), 1)) return (Halves)_mm512_cvtneps_pbh((__m512)x);
#endif
  return narrowed(rounded_bfloat16(x) >> 16);
}

inline Vector vector(Halves x, Float16) {
#if defined(__AVX512F__)
  return (Vector)_mm512_cvtph_ps((__m256i)x);
#elif defined(__F16C__)
  return (Vector)_mm256_cvtph_ps((__m128i)x);
#else
  Bits bits = widened(x), sign = (bits & 0x8000u) << 16;
  Vector value = (Vector)((bits & 0x7fffu) << 13) * 0x1p112f;  // exact, and right for subnormal numbers
  Bits special = (Bits)value | 0x7f800000u;
  return (Vector)(sign | ((Integers)((bits & 0x7c00u) == 0x7c00u) ? special : (Bits)value));
#endif
}

inline Halves halves(Vector x, Float16) {
#if defined(__AVX512F__)
  return (Halves)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__F16C__)
  return (Halves)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
#else
  Bits bits = (Bits)x, sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
  Bits usual = (size + 0xfffu + ((size >> 13) & 1u) - (112u << 23)) >> 13;
  Bits small = (Bits)((Vector)size + 0.5f) - (Bits)all(0.5f);  // 0.5 has float16's least step as its last digit
  Bits large = (Integers)(size > 0x7f800000u) ? Bits{} + 0x7e00u : Bits{} + 0x7c00u;
  Bits value = (Integers)(size < (113u << 23)) ? small : ((Integers)(size >= 0x477ff000u) ? large : usual);
  return narrowed(sign | value);
#endif
}

// ---- between memory and vectors ----

template <class Raw> inline Raw raw_load(const void* from) {
  Raw raw;
  memcpy(&raw, from, sizeof raw);
  return raw;
}

#if defined(__AVX512BW__)
inline __mmask64 first_bytes(int bytes) { return bytes < 64 ? (1ull << bytes) - 1 : ~0ull; }
#endif

template <class Raw> inline Raw raw_load(const void* from, int bytes) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(Raw) == 64) return (Raw)_mm512_maskz_loadu_epi8(first_bytes(bytes), from);
  else return (Raw)_mm256_maskz_loadu_epi8((__mmask32)first_bytes(bytes), from);
#else
  Raw raw{};
  memcpy(&raw, from, bytes);
  return raw;
#endif
}

template <class Raw> inline void raw_store(void* to, Raw raw) { memcpy(to, &raw, sizeof raw); }

template <class Raw> inline void raw_store(void* to, Raw raw, int bytes) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(Raw) == 64) _mm512_mask_storeu_epi8(to, first_bytes(bytes), (__m512i)raw);
  else _mm256_mask_storeu_epi8(to, (__mmask32)first_bytes(bytes), (__m256i)raw);
#else
  memcpy(to, &raw, bytes);
#endif
}

inline Vector load(const float* from) { return raw_load<Vector>(from); }
inline Vector load(const float* from, int count) { return raw_load<Vector>(from, 4 * count); }
inline void store(float* to, Vector x) { raw_store(to, x); }
inline void store(float* to, Vector x, int count) { raw_store(to, x, 4 * count); }

template <class T> inline Vector load(const T* from) { return vector(raw_load<Halves>(from), T{}); }
template <class T> inline Vector load(const T* from, int count) {
  return vector(raw_load<Halves>(from, 2 * count), T{});
}
template <class T> inline void store(T* to, Vector x) { raw_store(to, halves(x, T{})); }
template <class T> inline void store(T* to, Vector x, int count) { raw_store(to, halves(x, T{}), 2 * count); }

// Past the caches; `to` is aligned to the bytes of `raw`. What was streamed is there for others after `drained()`.
template <class Raw> inline void raw_stream(void* to, Raw raw) {
#if defined(__AVX512F__)
  if constexpr (sizeof raw == 64) return _mm512_stream_si512((__m512i*)to, (__m512i)raw);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof raw == 32) return _mm256_stream_si256((__m256i*)to, (__m256i)raw);
  if constexpr (sizeof raw == 16) return _mm_stream_si128((__m128i*)to, (__m128i)raw);
#endif
  raw_store(to, raw);
}

inline void drained() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

// Whether what lies at `to` can be streamed, vector after vector.
inline bool streamable(const void* to) {
#if defined(__AVX2__)
  constexpr bool EXISTS = true;
#else
  constexpr bool EXISTS = false;
#endif
  return EXISTS && (uintptr_t)to % sizeof(Vector) == 0;
}

inline void stream(float* to, Vector x) { raw_stream(to, x); }
template <class T> inline void stream(T* to, Vector x) { raw_stream(to, halves(x, T{})); }

// ---- pairs ----

constexpr int PAIR = 2 * LANES;

template <class T> inline Pair load_pair(const T* from) { return {load(from), load(from + LANES)}; }
template <class T> inline void store_pair(T* to, Pair x) { store(to, x.a), store(to + LANES, x.b); }
template <class T> inline void stream_pair(T* to, Pair x) { stream(to, x.a), stream(to + LANES, x.b); }

template <class T> inline Pair load_pair(const T* from, int count) {
  if (count > LANES) return {load(from), load(from + LANES, count - LANES)};
  return {load(from, count), Vector{}};
}

template <class T> inline void store_pair(T* to, Pair x, int count) {
  if (count > LANES) store(to, x.a), store(to + LANES, x.b, count - LANES);
  else store(to, x.a, count);
}

// bfloat16: those at even places and those at odd ones, which are a shift and a mask away.
inline Pair pair(Bits packed) { return {(Vector)(packed << 16), (Vector)(packed & 0xffff0000u)}; }

inline Bits packed(Pair x) {
#if defined(__AVX512BF16__)
  if (__builtin_expect(!(subnormal(x.a) | subnormal(x.b)), 1)) {
    typedef uint16_t Places __attribute__((vector_size(64)));
    constexpr Places ZIPPED = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                               8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512bh apart = _mm512_cvtne2ps_pbh((__m512)x.b, (__m512)x.a);
    return (Bits)_mm512_permutexvar_epi16((__m512i)ZIPPED, (__m512i)apart);
  }
#endif
  return (rounded_bfloat16(x.a) >> 16) | (rounded_bfloat16(x.b) & 0xffff0000u);
}

template <> inline Pair load_pair(const Bfloat16* from) { return pair(raw_load<Bits>(from)); }
template <> inline Pair load_pair(const Bfloat16* from, int count) { return pair(raw_load<Bits>(from, 2 * count)); }
template <> inline void store_pair(Bfloat16* to, Pair x) { raw_store(to, packed(x)); }
template <> inline void store_pair(Bfloat16* to, Pair x, int count) { raw_store(to, packed(x), 2 * count); }
template <> inline void stream_pair(Bfloat16* to, Pair x) { raw_stream(to, packed(x)); }
