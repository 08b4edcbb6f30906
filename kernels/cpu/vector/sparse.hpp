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

/// Up to kPanel neighbouring columns, kVectors vectors of them: `lanes` are those of the last vector, AllLanes or a
/// number.
template <int kVectors, class Lanes>
struct PanelOf {
  static constexpr int kCount = kVectors;
  Lanes lanes;

  template <class T>
  AMEND_INLINE void load(const T* from, Vector<T> (&to)[kVectors]) const {
    if constexpr (kVectors == 2) to[0] = AMEND_VECTOR_TARGET::load(from);
    to[kVectors - 1] = AMEND_VECTOR_TARGET::load(from + (kVectors - 1) * kLanes<T>, lanes);
  }
  template <class T>
  AMEND_INLINE void store(T* to, const Vector<T> (&from)[kVectors]) const {
    if constexpr (kVectors == 2) AMEND_VECTOR_TARGET::store(to, from[0]);
    AMEND_VECTOR_TARGET::store(to + (kVectors - 1) * kLanes<T>, from[kVectors - 1], lanes);
  }
};

/// `body(first column, panel)` for every kPanel columns.
template <class T, class Body>
AMEND_INLINE void for_panels(std::int64_t columns, const Body& body) {
  std::int64_t first = 0;
  for (; first + kPanel<T> <= columns; first += kPanel<T>) body(first, PanelOf<2, AllLanes>{});
  const std::int64_t left = columns - first;
  if (left > kLanes<T>)
    body(first, PanelOf<2, std::int64_t>{left - kLanes<T>});
  else if (left == kLanes<T>)
    body(first, PanelOf<1, AllLanes>{});
  else if (left > 0)
    body(first, PanelOf<1, std::int64_t>{left});
}

template <class T>
void sparse_product(const SparseProduct<T>& p) {
  for_panels<T>(p.columns, [&]<class Panel>(std::int64_t first, const Panel panel) {
    constexpr int kN = Panel::kCount;
    const std::int32_t *begin = p.a.begin, *column = p.a.column;
    const T *value = p.a.value, *b = p.packed + first * p.terms;
    const std::int64_t rows = p.rows, stride = p.columns;
    Vector<T> bias[kN] = {};
    if (p.bias != nullptr) panel.load(p.bias + first, bias);
    T* c = p.c + first;
    for (std::int64_t r = 0; r < rows; ++r, c += stride) {
      Vector<T> sum[kN];
#pragma GCC unroll 2
      for (int v = 0; v < kN; ++v) sum[v] = bias[v];
      for (std::int64_t e = begin[r], end = begin[r + 1]; e < end; ++e) {
        const T* row = b + column[e] * kPanel<T>;
        const Vector<T> factor = broadcast(value[e]);
#pragma GCC unroll 2
        for (int v = 0; v < kN; ++v) sum[v] += factor * load(row + v * kLanes<T>);
      }
      panel.store(c, sum);
    }
  });
}

/// total (kPanel) = the sums of the rows of the panel of d's columns that begins at d.
template <class T, class Panel>
AMEND_INLINE void sum_rows(std::int64_t rows, const T* d, std::int64_t stride, T* total, Panel panel) {
  constexpr int kN = Panel::kCount;
  Vector<T> sum[kN] = {};
  for (std::int64_t r = 0; r < rows; ++r, d += stride) {
    Vector<T> row[kN];
    panel.load(d, row);
#pragma GCC unroll 2
    for (int v = 0; v < kN; ++v) sum[v] += row[v];
  }
#pragma GCC unroll 2
  for (int v = 0; v < kN; ++v) store(total + v * kLanes<T>, sum[v]);
}

/// sums (terms, kPanel) = a^T d for that panel.
template <class T, class Panel>
AMEND_INLINE void add_rows(std::int64_t rows, std::int64_t terms, const SparseRows<T>& a, const T* d,
                           std::int64_t stride, T* sums, Panel panel) {
  constexpr int kN = Panel::kCount;
  for (std::int64_t j = 0; j < terms; ++j)
#pragma GCC unroll 2
    for (int v = 0; v < kN; ++v) store(sums + j * kPanel<T> + v * kLanes<T>, Vector<T>{});
  const std::int32_t *begin = a.begin, *column = a.column;
  const T* value = a.value;
  for (std::int64_t r = 0; r < rows; ++r, d += stride) {
    Vector<T> row[kN];
    panel.load(d, row);
    for (std::int64_t e = begin[r], end = begin[r + 1]; e < end; ++e) {
      T* sum = sums + column[e] * kPanel<T>;
      const Vector<T> factor = broadcast(value[e]);
#pragma GCC unroll 2
      for (int v = 0; v < kN; ++v) store(sum + v * kLanes<T>, load(sum + v * kLanes<T>) + factor * row[v]);
    }
  }
}

/// The same sums by a's columns, four entries side by side.
template <class T, class Panel>
AMEND_INLINE void add_columns(std::int64_t terms, const SparseColumns<T>& a, const T* d, std::int64_t stride, T* sums,
                              Panel panel) {
  constexpr int kN = Panel::kCount;
  constexpr std::int32_t kTogether = 4;
  for (std::int64_t j = 0; j < terms; ++j) {
    Vector<T> sum[kTogether][kN] = {};
    const auto add = [&](std::int32_t e, Vector<T>(&to)[kN]) {
      Vector<T> row[kN];
      panel.load(d + a.row[e] * stride, row);
      const Vector<T> factor = broadcast(a.value[e]);
#pragma GCC unroll 2
      for (int v = 0; v < kN; ++v) to[v] += factor * row[v];
    };
    std::int32_t e = a.begin[j];
    const std::int32_t end = a.begin[j + 1];
    for (; e + kTogether <= end; e += kTogether)
#pragma GCC unroll 4
      for (std::int32_t k = 0; k < kTogether; ++k) add(e + k, sum[k]);
    for (; e < end; ++e) add(e, sum[0]);
#pragma GCC unroll 2
    for (int v = 0; v < kN; ++v)
      store(sums + j * kPanel<T> + v * kLanes<T>, (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]));
  }
}

template <class T>
void sparse_outer(const SparseOuter<T>& p) {
  for_panels<T>(p.columns, [&](std::int64_t first, const auto panel) {
    T total[kPanel<T>];
    const T* d = p.d + first;
    if (p.a_columns.begin != nullptr)
      add_columns(p.terms, p.a_columns, d, p.columns, p.sums, panel);
    else
      add_rows(p.rows, p.terms, p.a, d, p.columns, p.sums, panel);
    if (p.base != nullptr) sum_rows(p.rows, d, p.columns, total, panel);
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
