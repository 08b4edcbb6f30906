#pragma once

// Sums over the rows of a matrix, a panel of columns at a time so that they stay in registers.

#include <array>
#include <cstdint>

#include "kernels/cpu/lane_sums.hpp"

namespace amend::kernels::cpu {

/// sums[s][i] = sum over r < rows of terms(r, i)[s], an array of kSums numbers, for i < cols.
template <std::size_t kSums, class T, class Terms>
void column_sums(std::int64_t rows, std::int64_t cols, const std::array<T*, kSums>& sums, const Terms& terms) {
  constexpr std::int64_t kPanel = 16;
  std::int64_t first = 0;
  for (; first + kPanel <= cols; first += kPanel) {
    T sum[kSums][kPanel] = {};
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < kPanel; ++k) {
        const std::array<T, kSums> term = terms(r, first + k);
        for (std::size_t s = 0; s < kSums; ++s) sum[s][k] += term[s];
      }
    for (std::size_t s = 0; s < kSums; ++s)
      for (std::int64_t k = 0; k < kPanel; ++k) sums[s][first + k] = sum[s][k];
  }
  for (; first < cols; ++first)
    for (std::size_t s = 0; s < kSums; ++s)
      sums[s][first] = lane_sum<T>(rows, [&](std::int64_t r) { return terms(r, first)[s]; });
}

/// sum[i] = sum of column i of x (rows, cols).
template <class T>
void column_sums(const T* x, std::int64_t rows, std::int64_t cols, T* sum) {
  column_sums<1, T>(rows, cols, {sum}, [=](std::int64_t r, std::int64_t i) { return std::array{x[r * cols + i]}; });
}

}  // namespace amend::kernels::cpu
