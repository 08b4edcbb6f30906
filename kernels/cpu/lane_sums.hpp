#pragma once

// Sums whose order is fixed and vectorises.

#include <cstdint>

namespace amend::kernels::cpu {

/// The sum of x.
template <class T>
T sum_of(const T* x, std::int64_t count) {
  constexpr std::int64_t kLanes = 16;
  T lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) lane[k] += x[i + k];
  for (; i < count; ++i) lane[i % kLanes] += x[i];
  T sum = T(0);
  for (T value : lane) sum += value;
  return sum;
}

/// The sum of x * y.
template <class T>
T dot(const T* x, const T* y, std::int64_t count) {
  constexpr std::int64_t kLanes = 16;
  T lane[kLanes] = {};
  std::int64_t r = 0;
  for (; r + kLanes <= count; r += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) lane[k] += x[r + k] * y[r + k];
  for (std::int64_t k = 0; r < count; ++r, ++k) lane[k] += x[r] * y[r];
  T sum = T(0);
  for (T value : lane) sum += value;
  return sum;
}

}  // namespace amend::kernels::cpu
