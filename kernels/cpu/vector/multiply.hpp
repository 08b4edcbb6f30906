#pragma once

// Matrix products small enough to stay in the first two caches, on registers: kRows rows by two vectors of the result
// are summed in registers, term by term, so that an element has the same bits wherever in the matrix it lies. Operands
// stay where they are; the second one is read in whole vectors.

#include "kernels/cpu/vector/vector.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// Rows of a register tile: with two vectors a row it fills the registers, operands included (16, or 32 of AVX-512).
inline constexpr int kRows = kVectorBytes == 64 ? 12 : 6;
/// Of a tile of a single vector a row.
inline constexpr int kSingleRows = 8;

/// Element (i, l) of the left factor is data[i * row + l * term].
template <class T>
struct Left {
  const T* data;
  std::int64_t row, term;
};

/// Element (l, j) of the right factor is data[j / kPanel * panel + l * term + j % kPanel]; its rows hold whole vectors.
template <class T>
struct Right {
  const T* data;
  std::int64_t term, panel;
};

/// A row-major matrix.
template <class T>
AMEND_INLINE Right<T> row_major(const T* data, std::int64_t row) {
  return {data, row, kPanel<T>};
}
/// What `pack` made of a matrix of `rows` rows: kPanel columns lie together, so that no two of its rows compete for one
/// place in a cache.
template <class T>
AMEND_INLINE Right<T> packed(const T* data, std::int64_t rows) {
  return {data, kPanel<T>, rows * kPanel<T>};
}

template <int kM, int kN, class T, class Finish>
AMEND_INLINE void multiply_tile(std::int64_t terms, Left<T> a, const T* b, std::int64_t b_term,
                                const Vector<T> (&start)[kN], const Finish& finish) {
  Vector<T> sum[kM][kN];
#pragma GCC unroll 16
  for (int i = 0; i < kM; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) sum[i][j] = start[j];
  for (std::int64_t l = 0; l < terms; ++l) {
    Vector<T> right[kN];
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) right[j] = load(b + l * b_term + j * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kM; ++i) {
      const Vector<T> left = broadcast(a.data[i * a.row + l * a.term]);
#pragma GCC unroll 4
      for (int j = 0; j < kN; ++j) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kM; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) finish(i, j * kLanes<T>, sum[i][j]);
}

/// start[j] + sum_l a(i, l) b(l, j) for i < rows and j < columns; `start` null: 0. `finish(i, j, sums, lanes)` gets one
/// vector of them at a time, from column j on, and which of its lanes are columns: AllLanes or a number. kColumns is
/// the number of columns where it is known to the compiler, else 0.
template <int kColumns = 0, class T, class Finish>
AMEND_INLINE void multiply(std::int64_t rows, std::int64_t columns, std::int64_t terms, Left<T> a, Right<T> b,
                           const T* start, const Finish& finish) {
  const auto across = [&]<int kN>(std::int64_t column, std::integral_constant<int, kN>, auto lanes) {
    const T* panel = b.data + column / kPanel<T> * b.panel + column % kPanel<T>;
    Vector<T> first[kN] = {};
    if (start != nullptr)
#pragma GCC unroll 4
      for (int j = 0; j < kN; ++j) first[j] = load(start + column + j * kLanes<T>, lanes);
    std::int64_t row = 0;
    const auto down = [&]<int kM>(std::integral_constant<int, kM>) {
      for (; row + kM <= rows; row += kM)
        multiply_tile<kM, kN>(terms, Left<T>{a.data + row * a.row, a.row, a.term}, panel, b.term, first,
                              [&](int i, std::int64_t j, Vector<T> sum) { finish(row + i, column + j, sum, lanes); });
    };
    // Fewer sizes where little time is spent: float64 and columns that are no whole vector.
    constexpr bool kOften = sizeof(T) == 4 && std::is_same_v<decltype(lanes), AllLanes>;
    down(std::integral_constant < int, kN == 1 ? kSingleRows : kRows > {});
    if constexpr (kOften && kN > 1 && kRows > 8) down(std::integral_constant<int, 8>{});
    if constexpr (kOften) down(std::integral_constant<int, 4>{});
    if constexpr (kOften && kN > 1) down(std::integral_constant<int, 2>{});
    down(std::integral_constant<int, 1>{});
  };
  std::int64_t column = 0;
  for (; column + kPanel<T> <= columns; column += kPanel<T>)
    across(column, std::integral_constant<int, 2>{}, AllLanes{});
  if constexpr (kColumns != 0 && kColumns % kPanel<T> == 0) return;
  if (column + kLanes<T> <= columns) {
    across(column, std::integral_constant<int, 1>{}, AllLanes{});
    column += kLanes<T>;
  }
  if constexpr (kColumns != 0 && kColumns % kLanes<T> == 0) return;
  if (column < columns) across(column, std::integral_constant<int, 1>{}, columns - column);
}

template <int kColumns = 0, class T, class Finish>
AMEND_INLINE void multiply(std::int64_t rows, std::int64_t columns, std::int64_t terms, Left<T> a, Right<T> b,
                           const Finish& finish) {
  multiply<kColumns>(rows, columns, terms, a, b, static_cast<const T*>(nullptr), finish);
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
