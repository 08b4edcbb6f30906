#pragma once

// Vectors of the processor, as wide as the instruction set that this file is compiled for. The files of this folder are
// compiled once for every instruction set in AMEND_VECTOR_TARGETS (cmake/VectorTargets.cmake), in a namespace of its
// own; functions.hpp chooses among them when the program starts. So that no code of a wide instruction set reaches the
// rest of the program through the linker, everything here is always inlined or has a name in that namespace.

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/math.hpp"

#ifndef AMEND_VECTOR_TARGET
#define AMEND_VECTOR_TARGET native_target
#endif

#define AMEND_INLINE [[gnu::always_inline]] inline

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class T>
struct VectorType {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T in_memory __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};
template <class T>
using Vector = typename VectorType<T>::type;

template <class T>
inline constexpr std::int64_t kLanes = kVectorBytes / static_cast<std::int64_t>(sizeof(T));

template <class T>
AMEND_INLINE constexpr std::int64_t whole_vectors(std::int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

/// Lanes of two vectors: what a row of a packed matrix is made of.
template <class T>
inline constexpr std::int64_t kPanel = 2 * kLanes<T>;

template <class T>
AMEND_INLINE Vector<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorType<T>::in_memory*>(p);
}
template <class T>
AMEND_INLINE void store(T* p, Vector<T> x) {
  *reinterpret_cast<typename VectorType<T>::in_memory*>(p) = x;
}
template <class T>
AMEND_INLINE Vector<T> broadcast(T x) {
  return x - Vector<T>{};  // not x + 0, which the compiler must keep for the sake of -0
}

/// The sum of the lanes, always in the same order.
template <class T>
AMEND_INLINE T lane_sum(Vector<T> x) {
  if constexpr (kLanes<T> == 16)
    x += __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  if constexpr (kLanes<T> == 16)
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  if constexpr (kLanes<T> == 8) x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
  if constexpr (kLanes<T> == 16)
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  if constexpr (kLanes<T> == 8) x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
  if constexpr (kLanes<T> == 4) x += __builtin_shufflevector(x, x, 2, 3, 0, 1);
  return x[0] + x[1];
}

/// Of lanes that are kBit apart: their sums of `a` where the bit of the lane is not set, of `b` where it is.
template <class T, std::int64_t kBit, std::int64_t... kLane>
AMEND_INLINE Vector<T> sums_of_pairs(Vector<T> a, Vector<T> b, std::integer_sequence<std::int64_t, kLane...>) {
  return __builtin_shufflevector(a, b, (kLane & kBit ? kLanes<T> + kLane : kLane)...) +
         __builtin_shufflevector(a, b, (kLane & kBit ? kLanes<T> + (kLane ^ kBit) : kLane ^ kBit)...);
}

/// The sums of the lanes of x[0], x[1] and so on, one a lane: fewer operations than one sum after the other. `x` is
/// overwritten.
template <class T, std::int64_t kBit = kLanes<T> / 2>
AMEND_INLINE Vector<T> lane_sums(Vector<T> (&x)[kLanes<T>]) {
#pragma GCC unroll 8
  for (std::int64_t i = 0; i < kBit; ++i)
    x[i] = sums_of_pairs<T, kBit>(x[i], x[i + kBit], std::make_integer_sequence<std::int64_t, kLanes<T>>{});
  if constexpr (kBit > 1)
    return lane_sums<T, kBit / 2>(x);
  else
    return x[0];
}

/// The first `count` lanes are those of `x`, the others 0.
template <class T, class Count>
AMEND_INLINE Vector<T> keep(Vector<T> x, Count count) {
  if constexpr (std::is_same_v<Count, std::int64_t>)
    for (std::int64_t i = count; i < kLanes<T>; ++i) x[i] = T(0);
  return x;
}

/// How many lanes a step of for_vectors is about: all of them, known to the compiler, or the last few.
struct AllLanes {};

template <class T>
AMEND_INLINE Vector<T> load(const T* p, AllLanes) {
  return load(p);
}

#if defined(__AVX512F__)
AMEND_INLINE __mmask16 lane_mask(std::int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
#elif defined(__AVX2__)
/// All bits of the first `count` lanes.
AMEND_INLINE __m256i lane_mask(std::int64_t count, float) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
AMEND_INLINE __m256i lane_mask(std::int64_t count, double) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif

/// The first `count` lanes, fewer than all: lanes beyond them are 0 and their memory is not read.
template <class T>
AMEND_INLINE Vector<T> load(const T* p, std::int64_t count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm512_maskz_loadu_ps(lane_mask(count), p);
  else
    return (Vector<T>)_mm512_maskz_loadu_pd(static_cast<__mmask8>(lane_mask(count)), p);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm256_maskload_ps(p, lane_mask(count, T()));
  else
    return (Vector<T>)_mm256_maskload_pd(p, lane_mask(count, T()));
#else
  Vector<T> x{};
  for (std::int64_t i = 0; i < count; ++i) x[i] = p[i];
  return x;
#endif
}
template <class T>
AMEND_INLINE void store(T* p, Vector<T> x, AllLanes) {
  store(p, x);
}
/// Memory beyond the first `count` lanes is not touched.
template <class T>
AMEND_INLINE void store(T* p, Vector<T> x, std::int64_t count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, lane_mask(count), (__m512)x);
  else
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(lane_mask(count)), (__m512d)x);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    _mm256_maskstore_ps(p, lane_mask(count, T()), (__m256)x);
  else
    _mm256_maskstore_pd(p, lane_mask(count, T()), (__m256d)x);
#else
  for (std::int64_t i = 0; i < count; ++i) p[i] = x[i];
#endif
}

/// `body(i, lanes)` for i = 0, one vector on, ... below count, which is kCount unless that is 0.
template <class T, int kCount, class Body>
AMEND_INLINE void for_vectors(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  if constexpr (kCount != 0) count = kCount;
  for (; i + kLanes<T> <= count; i += kLanes<T>) body(i, AllLanes{});
  if constexpr (kCount == 0 || kCount % kLanes<T> != 0)
    if (i < count) body(i, count - i);
}

/// to[j * to_row + i] = from[i * from_row + j] for i < rows and j < columns, four by four.
template <class T>
AMEND_INLINE void transpose(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t from_row, T* to,
                            std::int64_t to_row) {
  typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(alignof(T)), may_alias));
  const std::int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (std::int64_t j = 0; j < whole_columns; j += 4)
    for (std::int64_t i = 0; i < whole_rows; i += 4) {
      const T* source = from + i * from_row + j;
      const Four a = *reinterpret_cast<const Four*>(source), b = *reinterpret_cast<const Four*>(source + from_row),
                 c = *reinterpret_cast<const Four*>(source + 2 * from_row),
                 d = *reinterpret_cast<const Four*>(source + 3 * from_row);
      const Four ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5),
                 ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7),
                 bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5),
                 bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
      T* target = to + j * to_row + i;
      *reinterpret_cast<Four*>(target) = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
      *reinterpret_cast<Four*>(target + to_row) = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
      *reinterpret_cast<Four*>(target + 2 * to_row) = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
      *reinterpret_cast<Four*>(target + 3 * to_row) = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
    }
  for (std::int64_t j = 0; j < columns; ++j)
    for (std::int64_t i = j < whole_columns ? whole_rows : 0; i < rows; ++i)
      to[j * to_row + i] = from[i * from_row + j];
}

AMEND_INLINE float inverse_root(float x) { return 1.0f / __builtin_sqrtf(x); }
AMEND_INLINE double inverse_root(double x) { return 1.0 / __builtin_sqrt(x); }

AMEND_INLINE Vector<float> exponential(Vector<float> x, float highest = 88.0f) {
  typedef std::uint32_t Bits __attribute__((vector_size(kVectorBytes)));
  return exponential_lanes<Vector<float>, Bits>(x, highest);
}
AMEND_INLINE Vector<double> exponential(Vector<double> x) {
  for (std::int64_t i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

/// 1 / (1 + e^-x) of every lane, as kernels/math.hpp's, and within its error.
#if defined(__AVX512F__)
AMEND_INLINE Vector<float> sigmoid_lanes(Vector<float> x) {
  // e^-x = 2^n e^r, n a multiple of 1/16: the fraction's power from a table in a register, the whole part's set by one
  // instruction, and 1 / d from an estimate of 14 bits instead of a division. (The forms with masks: g++ 12 warns of
  // its own others.)
  constexpr __mmask16 kAll = 0xffff;
  constexpr float kRound = 786432.0f;  // 1.5 * 2^19: adding it leaves the nearest sixteenth in the low bits
  constexpr Vector<float> kPowers{1.0f,        1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f,
                                  1.29683955f, 1.35425555f, 1.41421356f, 1.47682615f, 1.54221083f, 1.61049033f,
                                  1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f};  // of 2, 0 .. 15 sixteenths
  const auto each = [](float f) { return Vector<float>{} + f; };
  // The second where one is not a number.
  x = _mm512_maskz_min_ps(kAll, each(kSigmoidRange), x);
  x = _mm512_maskz_max_ps(kAll, each(-kSigmoidRange), x);
  const Vector<float> shifted = x * -1.44269504088896341f + kRound, n = shifted - kRound;
  const Vector<float> r = -x - n * 0.69314718055994531f;  // within log(2) / 32
  const Vector<float> power = _mm512_maskz_permutexvar_ps(kAll, _mm512_castps_si512(shifted), kPowers);
  const Vector<float> e = power + power * (r * (1 + r * (0.5f + r * 0.166666667f)));
  const Vector<float> d = 1 + Vector<float>(_mm512_maskz_scalef_ps(kAll, e, n));
  const Vector<float> y = _mm512_maskz_rcp14_ps(kAll, d);
  return y + y * (1 - d * y);
}
#else
AMEND_INLINE Vector<float> sigmoid_lanes(Vector<float> x) { return 1 / (1 + exponential(-x, kSigmoidRange)); }
#endif
AMEND_INLINE Vector<double> sigmoid_lanes(Vector<double> x) { return 1 / (1 + exponential(-x)); }

template <class V>
AMEND_INLINE V positive_part(V x) {
  return x > 0 ? x : V{};
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
