#pragma once

// Matrix products small enough to stay in the first two caches, on registers: kRows rows by two vectors of the result
// are summed in registers, term by term, so that an element has the same bits wherever in the matrix it lies. Operands
// stay where they are; the second one is read in whole vectors.

#include "kernels/cpu/vector/vector.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// Rows of a register tile: with two vectors a row it fills the registers, operands included (16, or 32 of AVX-512).
inline constexpr int kRows = kVectorBytes == 64 ? 12 : 6;

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
AMEND_INLINE void multiply_tile(std::int64_t terms, Left<T> a, const T* b, std::int64_t b_term, const Finish& finish) {
  Vector<T> sum[kM][kN] = {};
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

/// sum_l a(i, l) b(l, j) for i < rows and j < columns. `finish(i, j, sums)` gets one vector of them at a time, from
/// column j on; lanes beyond `columns` are for `finish` to leave out.
template <class T, class Finish>
AMEND_INLINE void multiply(std::int64_t rows, std::int64_t columns, std::int64_t terms, Left<T> a, Right<T> b,
                           const Finish& finish) {
  const auto across = [&]<int kN>(std::int64_t column, std::integral_constant<int, kN>) {
    const T* panel = b.data + column / kPanel<T> * b.panel;
    std::int64_t row = 0;
    const auto down = [&]<int kM>(std::integral_constant<int, kM>) {
      for (; row + kM <= rows; row += kM)
        multiply_tile<kM, kN>(terms, Left<T>{a.data + row * a.row, a.row, a.term}, panel, b.term,
                              [&](int i, std::int64_t j, Vector<T> sum) { finish(row + i, column + j, sum); });
    };
    down(std::integral_constant<int, kRows>{});
    if constexpr (kRows > 8) down(std::integral_constant<int, 8>{});
    down(std::integral_constant<int, 4>{});
    down(std::integral_constant<int, 2>{});
    down(std::integral_constant<int, 1>{});
  };
  std::int64_t column = 0;
  for (; column + kLanes<T> < columns; column += kPanel<T>) across(column, std::integral_constant<int, 2>{});
  if (column < columns) across(column, std::integral_constant<int, 1>{});
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
