#pragma once

// The node half of a message layer, a tile of nodes at a time. As with edges the mean that the layer norm takes away is
// taken out of W1 beforehand, and as the inverse deviation is a factor of the whole row, it comes after the product:
// nodes, aggregates and the condition's part, which all nodes of a network share, are read where they lie.

#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/multiply.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

inline constexpr std::int64_t kNodeRows = 48;

template <class T>
std::int64_t node_update_scratch(std::int64_t f) {
  return kNodeRows * whole_vectors<T>(f);
}

/// 1 / sqrt(variance of [x, m, c] + epsilon).
template <class T>
AMEND_INLINE T inverse_deviation(const NodeUpdateRows<T>& a, const T* x, const T* m) {
  const T count = static_cast<T>(a.in), conditions = static_cast<T>(a.in - a.h - a.m);
  Vector<T> sums{}, squares{};
  for_vectors<T, 0>(a.h, [&](std::int64_t i, auto lanes) { sums += load(x + i, lanes); });
  for_vectors<T, 0>(a.m, [&](std::int64_t i, auto lanes) { sums += load(m + i, lanes); });
  const T mean = (lane_sum<T>(sums) + conditions * a.condition_mean) / count;
  const Vector<T> centre = broadcast(mean);
  const auto add_squares = [&](const T* from) {
    return [&squares, centre, from](std::int64_t i, auto lanes) {
      const Vector<T> value = keep<T>(load(from + i, lanes) - centre, lanes);
      squares += value * value;
    };
  };
  for_vectors<T, 0>(a.h, add_squares(x));
  for_vectors<T, 0>(a.m, add_squares(m));
  const T off = a.condition_mean - mean, of_condition = a.condition_squares + conditions * off * off;
  return inverse_root((lane_sum<T>(squares) + of_condition) / count + a.epsilon);
}

template <class T>
void node_update_forward(const NodeUpdateRows<T>& args) {
  const NodeUpdateRows<T> a = args;  // a copy: stores cannot change it
  const std::int64_t width = whole_vectors<T>(a.f), panel = a.in * kPanel<T>;
  T* hidden = a.scratch;
  T inverse[kNodeRows];
  for (std::int64_t begin = 0; begin < a.rows; begin += kNodeRows) {
    const std::int64_t rows = a.rows - begin < kNodeRows ? a.rows - begin : kNodeRows;
    const T *x = a.node + begin * a.h, *m = a.aggregate + begin * a.m;
    T* out = a.out + begin * a.h;
    for (std::int64_t k = 0; k < rows; ++k) inverse[k] = inverse_deviation(a, x + k * a.h, m + k * a.m);
    const Factors<T> factors[] = {{a.h, {x, a.h, 1}, {a.packed1, kPanel<T>, panel}},
                                  {a.m, {m, a.m, 1}, {a.packed1 + a.h * kPanel<T>, kPanel<T>, panel}}};
    multiply(rows, a.f, factors, a.start, [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) {
      const Vector<T> pre = sum * inverse[k] + load(a.bias1 + i, lanes);
      store(hidden + k * width + i, pre * sigmoid_lanes(pre));
    });
    multiply(rows, a.h, a.f, Left<T>{hidden, width, 1}, packed(a.packed2, a.f), a.bias2,
             [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) {
               store(out + k * a.h + i, load(x + k * a.h + i, lanes) + load(a.alpha + i, lanes) * sum, lanes);
             });
  }
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
