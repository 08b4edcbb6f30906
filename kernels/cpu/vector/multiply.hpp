#pragma once

// Matrix products small enough to stay in the first two caches, on registers: kRows rows by two vectors of the result
// are summed in registers, term by term, so that an element has the same bits wherever in the matrix it lies. Operands
// stay where they are.

#include <cstddef>

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

/// Element (l, j) of the right factor is data[j / kPanel * panel + l * term + j % kPanel].
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

/// Two matrices to multiply, `terms` columns of the left one and rows of the right one.
template <class T>
struct Factors {
  std::int64_t terms;
  Left<T> left;
  Right<T> right;
};

/// Adds the product of rows of `a`, from the one at `a.data` on, and `lanes` columns at `b` to the sums.
template <int kM, int kN, class T, class Lanes>
AMEND_INLINE void add_product(std::int64_t terms, Left<T> a, const T* b, std::int64_t b_term, Lanes lanes,
                              Vector<T> (&sum)[kM][kN]) {
  // A pointer for every three rows, the others in reach of one index: as many as there are registers for.
  constexpr int kReach = 3, kPointers = (kM + kReach - 1) / kReach;
  const T* left[kPointers];
#pragma GCC unroll 16
  for (int p = 0; p < kPointers; ++p) left[p] = a.data + p * kReach * a.row;
  for (std::int64_t l = 0; l < terms; ++l) {
    Vector<T> right[kN];
#pragma GCC unroll 4
    for (int j = 0; j < kN; ++j) right[j] = load(b + j * kLanes<T>, lanes);
    b += b_term;
#pragma GCC unroll 16
    for (int i = 0; i < kM; ++i) {
      const Vector<T> factor = broadcast(left[i / kReach][i % kReach * a.row]);
#pragma GCC unroll 4
      for (int j = 0; j < kN; ++j) sum[i][j] += factor * right[j];
    }
#pragma GCC unroll 16
    for (int p = 0; p < kPointers; ++p) {
      left[p] += a.term;
      asm("" : "+r"(left[p]));  // else the compiler keeps an address for every row
    }
  }
}

/// start[j] + sum over all factors of left(i, l) right(l, j), for i < rows and j < columns; `start`, a pointer or
/// nullptr, may be null: 0.
/// `finish(i, j, sums, lanes)` gets one vector of them at a time, from column j on, and which of its lanes are columns:
/// AllLanes or a number. kColumns is the number of columns where it is known to the compiler, else 0.
template <int kColumns = 0, class T, std::size_t kFactors, class Start, class Finish>
AMEND_INLINE void multiply(std::int64_t rows, std::int64_t columns, const Factors<T> (&factors)[kFactors], Start start,
                           const Finish& finish) {
  const auto across = [&]<int kN>(std::int64_t column, std::integral_constant<int, kN>, auto lanes) {
    std::int64_t row = 0;
    const auto down = [&]<int kM>(std::integral_constant<int, kM>) {
      for (; row + kM <= rows; row += kM) {
        Vector<T> first[kN] = {}, sum[kM][kN];
        if constexpr (!std::is_null_pointer_v<Start>)
          if (start != nullptr)
#pragma GCC unroll 4
            for (int j = 0; j < kN; ++j) first[j] = load(start + column + j * kLanes<T>, lanes);
#pragma GCC unroll 16
        for (int i = 0; i < kM; ++i)
#pragma GCC unroll 4
          for (int j = 0; j < kN; ++j) sum[i][j] = first[j];
#pragma GCC unroll 2
        for (std::size_t f = 0; f < kFactors; ++f) {
          const auto& [terms, left, right] = factors[f];
          add_product<kM, kN>(terms, Left<T>{left.data + row * left.row, left.row, left.term},
                              right.data + column / kPanel<T> * right.panel + column % kPanel<T>, right.term, lanes,
                              sum);
        }
#pragma GCC unroll 16
        for (int i = 0; i < kM; ++i)
#pragma GCC unroll 4
          for (int j = 0; j < kN; ++j) finish(row + i, column + j * kLanes<T>, sum[i][j], lanes);
      }
    };
    // Fewer sizes where little time is spent: float64 and columns that are no whole vector.
    constexpr bool kOften = sizeof(T) == 4 && std::is_same_v<decltype(lanes), AllLanes>;
    constexpr int kMost = kN == 1 ? kSingleRows : kRows;
    down(std::integral_constant<int, kMost>{});
    if constexpr (kOften && kMost > 8) down(std::integral_constant<int, 8>{});
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

/// Of a single product.
template <int kColumns = 0, class T, class Start, class Finish>
AMEND_INLINE void multiply(std::int64_t rows, std::int64_t columns, std::int64_t terms, Left<T> a, Right<T> b,
                           Start start, const Finish& finish) {
  const Factors<T> factors[] = {{terms, a, b}};
  multiply<kColumns>(rows, columns, factors, start, finish);
}

template <int kColumns = 0, class T, class Finish>
AMEND_INLINE void multiply(std::int64_t rows, std::int64_t columns, std::int64_t terms, Left<T> a, Right<T> b,
                           const Finish& finish) {
  multiply<kColumns>(rows, columns, terms, a, b, nullptr, finish);
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
