#pragma once

// Rows that are mostly zeros, as one-hot columns make them: found, and multiplied without them. A sum takes its terms
// in the order of multiply.hpp, so that leaving out zeros changes no bit.

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/vector.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// Appends the non-zeros of a row to the entries, of which there are `count`; returns how many there are then. What
/// lies in the next kSparseRoom places is overwritten.
template <class T>
AMEND_INLINE std::int64_t compress_row(const T* row, std::int64_t columns, std::int64_t count, std::int32_t* column,
                                       T* value) {
  std::int64_t j = 0;
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    for (; j < columns; j += 16) {
      const std::int64_t left = columns - j;
      const auto inside = static_cast<__mmask16>(left < 16 ? (1u << left) - 1u : 0xffffu);
      const __m512 x = _mm512_maskz_loadu_ps(inside, row + j);
      const __m512i at = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(j)),
                                          _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
      const __mmask16 set = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
      _mm512_storeu_ps(value + count, _mm512_maskz_compress_ps(set, x));
      _mm512_storeu_si512(column + count, _mm512_maskz_compress_epi32(set, at));
      count += __builtin_popcount(set);
    }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    for (; j + 8 <= columns; j += 8) {
      const __m256 set = _mm256_cmp_ps(_mm256_loadu_ps(row + j), _mm256_setzero_ps(), _CMP_NEQ_UQ);
      for (int left = _mm256_movemask_ps(set); left != 0; left &= left - 1, ++count) {
        const std::int64_t at = j + __builtin_ctz(static_cast<unsigned>(left));
        column[count] = static_cast<std::int32_t>(at);
        value[count] = row[at];
      }
    }
#endif
  for (; j < columns; ++j) {
    column[count] = static_cast<std::int32_t>(j);
    value[count] = row[j];
    count += row[j] != T(0);
  }
  return count;
}

template <class T>
bool compress(const CompressedRows<T>& a) {
  std::int64_t count = 0;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    a.begin[r] = static_cast<std::int32_t>(count);
    count = compress_row(a.data + (a.index ? a.index[r] : r) * a.columns, a.columns, count, a.column, a.value);
    if (count > a.most) return false;
  }
  a.begin[a.rows] = static_cast<std::int32_t>(count);
  return true;
}

/// `panel(first column, lanes of its first vector, lanes of its second)` for every kPanel columns.
template <class T, class Panel>
AMEND_INLINE void for_panels(std::int64_t columns, const Panel& panel) {
  std::int64_t first = 0;
  for (; first + kPanel<T> <= columns; first += kPanel<T>) panel(first, AllLanes{}, AllLanes{});
  const std::int64_t left = columns - first;
  if (left >= kLanes<T>)
    panel(first, AllLanes{}, left - kLanes<T>);
  else if (left > 0)
    panel(first, left, std::int64_t{0});
}

template <class T>
void sparse_product(const SparseProduct<T>& p) {
  for_panels<T>(p.columns, [&](std::int64_t first, auto low_lanes, auto high_lanes) {
    const std::int32_t *begin = p.a.begin, *column = p.a.column;
    const T *value = p.a.value, *b = p.packed + first * p.terms;
    const std::int64_t rows = p.rows, stride = p.columns;
    Vector<T> low_bias{}, high_bias{};
    if (p.bias != nullptr) {
      low_bias = load(p.bias + first, low_lanes);
      high_bias = load(p.bias + first + kLanes<T>, high_lanes);
    }
    T* c = p.c + first;
    for (std::int64_t r = 0; r < rows; ++r, c += stride) {
      Vector<T> low = low_bias, high = high_bias;
      for (std::int64_t e = begin[r], end = begin[r + 1]; e < end; ++e) {
        const T* row = b + column[e] * kPanel<T>;
        const Vector<T> factor = broadcast(value[e]);
        low += factor * load(row);
        high += factor * load(row + kLanes<T>);
      }
      store(c, low, low_lanes);
      store(c + kLanes<T>, high, high_lanes);
    }
  });
}

/// total (kPanel) = the sums of the rows of the panel of d's columns that begins at d.
template <class T, class LowLanes, class HighLanes>
AMEND_INLINE void sum_rows(std::int64_t rows, const T* d, std::int64_t stride, T* total, LowLanes low_lanes,
                           HighLanes high_lanes) {
  Vector<T> low{}, high{};
  for (std::int64_t r = 0; r < rows; ++r, d += stride) {
    low += load(d, low_lanes);
    high += load(d + kLanes<T>, high_lanes);
  }
  store(total, low);
  store(total + kLanes<T>, high);
}

/// sums (terms, kPanel) += a^T d for that panel.
template <class T, class LowLanes, class HighLanes>
AMEND_INLINE void add_rows(std::int64_t rows, const SparseRows<T>& a, const T* d, std::int64_t stride, T* sums,
                           LowLanes low_lanes, HighLanes high_lanes) {
  const std::int32_t *begin = a.begin, *column = a.column;
  const T* value = a.value;
  for (std::int64_t r = 0; r < rows; ++r, d += stride) {
    const Vector<T> low = load(d, low_lanes), high = load(d + kLanes<T>, high_lanes);
    for (std::int64_t e = begin[r], end = begin[r + 1]; e < end; ++e) {
      T* sum = sums + column[e] * kPanel<T>;
      const Vector<T> factor = broadcast(value[e]);
      store(sum, load(sum) + factor * low);
      store(sum + kLanes<T>, load(sum + kLanes<T>) + factor * high);
    }
  }
}

/// The same sums by a's columns, four entries side by side.
template <class T, class LowLanes, class HighLanes>
AMEND_INLINE void add_columns(std::int64_t terms, const SparseColumns<T>& a, const T* d, std::int64_t stride, T* sums,
                              LowLanes low_lanes, HighLanes high_lanes) {
  constexpr std::int32_t kTogether = 4;
  for (std::int64_t j = 0; j < terms; ++j) {
    Vector<T> low[kTogether] = {}, high[kTogether] = {};
    const auto add = [&](std::int32_t e, std::int32_t to) {
      const T* row = d + a.row[e] * stride;
      const Vector<T> factor = broadcast(a.value[e]);
      low[to] += factor * load(row, low_lanes);
      high[to] += factor * load(row + kLanes<T>, high_lanes);
    };
    std::int32_t e = a.begin[j];
    const std::int32_t end = a.begin[j + 1];
    for (; e + kTogether <= end; e += kTogether)
#pragma GCC unroll 4
      for (std::int32_t k = 0; k < kTogether; ++k) add(e + k, k);
    for (; e < end; ++e) add(e, 0);
    store(sums + j * kPanel<T>, (low[0] + low[1]) + (low[2] + low[3]));
    store(sums + j * kPanel<T> + kLanes<T>, (high[0] + high[1]) + (high[2] + high[3]));
  }
}

template <class T>
void sparse_outer(const SparseOuter<T>& p) {
  for_panels<T>(p.columns, [&](std::int64_t first, auto low_lanes, auto high_lanes) {
    T total[kPanel<T>];
    if (p.a_columns.begin != nullptr) {
      add_columns(p.terms, p.a_columns, p.d + first, p.columns, p.sums, low_lanes, high_lanes);
    } else {
      for (std::int64_t i = 0; i < p.terms * kPanel<T>; i += kLanes<T>) store(p.sums + i, Vector<T>{});
      add_rows(p.rows, p.a, p.d + first, p.columns, p.sums, low_lanes, high_lanes);
    }
    if (p.base != nullptr) sum_rows(p.rows, p.d + first, p.columns, total, low_lanes, high_lanes);
    const std::int64_t width = p.columns - first < kPanel<T> ? p.columns - first : kPanel<T>;
    T* c = p.c + first * p.terms;
    transpose<T>(p.terms, width, p.sums, kPanel<T>, c, p.terms);
    if (p.base == nullptr) return;
    const T* base = p.base;
    const std::int64_t terms = p.terms;
    for (std::int64_t i = 0; i < width; ++i, c += terms) {
      const Vector<T> factor = broadcast(total[i]);
      for_vectors<T, 0>(terms, [&](std::int64_t j, auto lanes) {
        store(c + j, load(c + j, lanes) + factor * load(base + j, lanes), lanes);
      });
    }
  });
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
