#pragma once

// Sums whose order is fixed and vectorises.

#include <cstdint>

namespace amend::kernels::cpu {

/// The sum of term(i) for i < count.
template <class T, class Term>
T lane_sum(std::int64_t count, const Term& term) {
  constexpr std::int64_t kLanes = 16;
  T lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) lane[k] += term(i + k);
  for (std::int64_t k = 0; i < count; ++i, ++k) lane[k] += term(i);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2)
    for (std::int64_t k = 0; k < half; ++k) lane[k] += lane[k + half];
  return lane[0];
}

/// The sum of x.
template <class T>
T sum_of(const T* x, std::int64_t count) {
  return lane_sum<T>(count, [x](std::int64_t i) { return x[i]; });
}

/// The sum of x * y.
template <class T>
T dot(const T* x, const T* y, std::int64_t count) {
  return lane_sum<T>(count, [x, y](std::int64_t i) { return x[i] * y[i]; });
}

}  // namespace amend::kernels::cpu
