#pragma once

// Sums over the rows of a matrix, a panel of columns at a time so that they stay in registers.

#include <cstdint>

#include "kernels/cpu/vector/vector.hpp"

namespace amend::kernels::cpu {

/// sums[s][i], s < kSums, i < cols: what `add(r, i, load, sum)` adds to sum[s] over all r < rows. It reads its numbers
/// as load(pointer to that of column i): a vector, of that column and the next ones.
template <std::size_t kSums, class T, class Add>
void column_sums(std::int64_t rows, std::int64_t cols, T* const (&sums)[kSums], const Add& add) {
  using native_target::kLanes, native_target::Vector;
  std::int64_t first = 0;
  const auto panel = [&]<int kVectors>(std::integral_constant<int, kVectors>, auto lanes) {
    Vector<T> sum[kVectors][kSums] = {};
    for (std::int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        add(
            r, first + v * kLanes<T>,
            [lanes](const T* from) __attribute__((always_inline)) { return native_target::load(from, lanes); }, sum[v]);
    for (int v = 0; v < kVectors; ++v)
      for (std::size_t s = 0; s < kSums; ++s) native_target::store(sums[s] + first + v * kLanes<T>, sum[v][s], lanes);
    first += kVectors * kLanes<T>;
  };
  while (first + 4 * kLanes<T> <= cols) panel(std::integral_constant<int, 4>(), native_target::AllLanes());
  while (first + kLanes<T> <= cols) panel(std::integral_constant<int, 1>(), native_target::AllLanes());
  if (first < cols) panel(std::integral_constant<int, 1>(), cols - first);
}

/// sum[i] = sum of column i of x (rows, cols).
template <class T>
void column_sums(const T* x, std::int64_t rows, std::int64_t cols, T* sum) {
  using native_target::kLanes, native_target::Vector;
  if (cols > 0 && cols < kLanes<T> && kLanes<T> % cols == 0) {  // rows side by side in a vector
    const std::int64_t count = rows * cols, whole = count / kLanes<T> * kLanes<T>;
    Vector<T> lanes{};
    for (std::int64_t i = 0; i < whole; i += kLanes<T>) lanes += native_target::load(x + i);
    T one[kLanes<T>];
    native_target::store(one, lanes);
    for (std::int64_t i = whole; i < count; ++i) one[i - whole] += x[i];
    for (std::int64_t i = 0; i < cols; ++i) {
      sum[i] = T(0);
      for (std::int64_t k = i; k < kLanes<T>; k += cols) sum[i] += one[k];
    }
    return;
  }
  T* const sums[] = {sum};
  column_sums(
      rows, cols, sums, [=](std::int64_t r, std::int64_t i, auto load, auto& to) __attribute__((always_inline)) {
        to[0] += load(x + r * cols + i);
      });
}

}  // namespace amend::kernels::cpu
