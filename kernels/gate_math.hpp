#pragma once

// Per-element maths of the gates, shared by both twins.

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/gate.hpp"
#include "kernels/math.hpp"

namespace amend::kernels {

inline constexpr double kStretchLow = -0.1, kStretchHigh = 1.1;

template <class T>
struct GateValue {
  T gate;        // what multiplies the weight
  T gate_slope;  // d gate / d logit, as the gradient sees it
  T open;        // expected share: what the penalty counts
  T open_slope;  // d open / d logit
  T excess;      // how far the logit lies beyond its bound, with its sign
};

template <class T>
AMEND_HOST_DEVICE inline GateValue<T> evaluate_gate(GateKind kind, bool training, T temperature, T bound, T logit,
                                                    T noise) {
  GateValue<T> v{T(0), T(0), T(0), T(0), T(0)};
  if (kind == GateKind::scale) {
    const T s = sigmoid(logit);
    v.gate = T(2) * s;
    v.gate_slope = T(2) * s * (T(1) - s);
    return v;
  }
  const T clamped = logit > bound ? bound : (logit < -bound ? -bound : logit);
  v.excess = logit - clamped;
  if (kind == GateKind::straight_through) {
    const T scaled = clamped / temperature;
    const T soft = sigmoid(scaled), slope = soft * (T(1) - soft) / temperature;
    const T hard = scaled + noise > T(0) ? T(1) : T(0);
    v.gate = hard;
    v.gate_slope = slope;
    v.open = training ? soft : hard;
    v.open_slope = slope;
    return v;
  }
  const T low = T(kStretchLow), high = T(kStretchHigh);
  const T open = sigmoid(clamped - temperature * logarithm(-low / high));
  if (!training) {
    v.gate = clamped > T(0) ? T(1) : T(0);
    v.open = v.gate;
    return v;
  }
  const T s = sigmoid((clamped + noise) / temperature);
  const T stretched = s * (high - low) + low;
  v.gate = stretched < T(0) ? T(0) : (stretched > T(1) ? T(1) : stretched);
  v.gate_slope = stretched > T(0) && stretched < T(1) ? (high - low) * s * (T(1) - s) / temperature : T(0);
  v.open = open;
  v.open_slope = open * (T(1) - open);
  return v;
}

/// Unsigned integers in the order of the numbers they stand for; -0 comes before 0.
AMEND_HOST_DEVICE inline std::uint64_t ordered_key(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return bits >> 31 ? static_cast<std::uint32_t>(~bits) : bits | 0x80000000u;
}
AMEND_HOST_DEVICE inline std::uint64_t ordered_key(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  return bits >> 63 ? ~bits : bits | std::uint64_t{1} << 63;
}

/// The number of this key.
template <class T>
AMEND_HOST_DEVICE inline T from_ordered_key(std::uint64_t key) {
  if constexpr (sizeof(T) == sizeof(float)) {
    const auto bits = static_cast<std::uint32_t>(key);
    return std::bit_cast<float>(bits >> 31 ? bits & 0x7fffffffu : ~bits);
  } else {
    return std::bit_cast<double>(key >> 63 ? key & ~(std::uint64_t{1} << 63) : ~key);
  }
}

/// Where a budget cuts: halfway from `last`, the least logit that is to stay above 0, to `first`, the largest that is
/// not; at `first` where nothing lies between. Infinite where there is no such logit.
template <class T>
AMEND_HOST_DEVICE inline T budget_cut(T last, T first) {
  constexpr T kMargin = T(1);  // where there is nothing on the other side
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const bool none_open = last == kInfinity, none_closed = first == -kInfinity;
  if (none_open && none_closed) return T(0);
  if (none_open) return first + kMargin;
  if (none_closed) return last - kMargin;
  const T middle = T(0.5) * last + T(0.5) * first;
  return middle < last ? middle : first;
}

}  // namespace amend::kernels
