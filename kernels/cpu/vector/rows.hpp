#pragma once

// Element-wise work on whole rows.

#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/vector.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// Layer norm of a row of `width` elements, in place. Returns the inverse deviation.
template <class T>
T normalise_row(T* x, std::int64_t width, T epsilon) {
  Vector<T> sums{}, squares{};
  for_vectors<T, 0>(width, [&](std::int64_t i, auto lanes) { sums += load(x + i, lanes); });
  const T mean = lane_sum<T>(sums) / static_cast<T>(width);
  const Vector<T> centre = broadcast(mean);
  for_vectors<T, 0>(width, [&](std::int64_t i, auto lanes) {
    const Vector<T> value = keep<T>(load(x + i, lanes) - centre, lanes);
    squares += value * value;
    store(x + i, value, lanes);
  });
  const T inverse = inverse_root(lane_sum<T>(squares) / static_cast<T>(width) + epsilon);
  const Vector<T> scale = broadcast(inverse);
  for_vectors<T, 0>(width, [&](std::int64_t i, auto lanes) { store(x + i, load(x + i, lanes) * scale, lanes); });
  return inverse;
}

/// y[i] = silu(x[i]).
template <class T>
void silu_row(const T* x, std::int64_t count, T* y) {
  for_vectors<T, 0>(count, [&](std::int64_t i, auto lanes) {
    const Vector<T> value = load(x + i, lanes);
    store(y + i, value * sigmoid_lanes(value), lanes);
  });
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
