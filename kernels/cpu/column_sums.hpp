#pragma once

// Sums over the rows of a matrix, a panel of columns at a time so that they stay in registers.

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace amend::kernels::cpu {

/// Neighbouring numbers: a vector that every processor has.
template <class T>
struct Neighbours {
  typedef T Type __attribute__((vector_size(16)));
};

/// sums[s][i], s < kSums, i < cols: what `add(r, i, load, sum)` adds to sum[s] over all r < rows. It reads its numbers
/// as load(pointer to that of column i) and does not know whether it gets one or those of several columns.
template <std::size_t kSums, class T, class Add>
void column_sums(std::int64_t rows, std::int64_t cols, T* const (&sums)[kSums], const Add& add) {
  using Vector = typename Neighbours<T>::Type;
  constexpr std::int64_t kWidth = sizeof(Vector) / sizeof(T), kLanes = 16;
  std::int64_t first = 0;
  const auto panel = [&]<int kVectors>(std::integral_constant<int, kVectors>) {
    for (; first + kVectors * kWidth <= cols; first += kVectors * kWidth) {
      Vector sum[kVectors][kSums] = {};
      for (std::int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          add(
              r, first + v * kWidth, [](const T* from) __attribute__((always_inline)) {
                Vector value;
                std::memcpy(&value, from, sizeof(value));
                return value;
              },
              sum[v]);
      for (int v = 0; v < kVectors; ++v)
        for (std::size_t s = 0; s < kSums; ++s)
          std::memcpy(sums[s] + first + v * kWidth, &sum[v][s], sizeof(sum[v][s]));
    }
  };
  panel(std::integral_constant<int, 4>());
  panel(std::integral_constant<int, 1>());
  for (; first < cols; ++first) {  // few: rows side by side instead
    T lane[kLanes][kSums] = {};
    for (std::int64_t r = 0; r < rows; ++r)
      add(
          r, first, [](const T* from) { return *from; }, lane[r % kLanes]);
    for (std::size_t s = 0; s < kSums; ++s) {
      T sum = T(0);
      for (const T(&one)[kSums] : lane) sum += one[s];
      sums[s][first] = sum;
    }
  }
}

/// sum[i] = sum of column i of x (rows, cols).
template <class T>
void column_sums(const T* x, std::int64_t rows, std::int64_t cols, T* sum) {
  T* const sums[] = {sum};
  column_sums(
      rows, cols, sums, [=](std::int64_t r, std::int64_t i, auto load, auto& to) __attribute__((always_inline)) {
        to[0] += load(x + r * cols + i);
      });
}

}  // namespace amend::kernels::cpu
