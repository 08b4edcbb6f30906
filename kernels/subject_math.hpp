#pragma once

// Per-element maths of subject networks and their probe, shared by both twins.

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/math.hpp"
#include "kernels/subject_forward.hpp"

namespace amend::kernels {

/// The activations: f(pre, slope) returns what a neuron makes of `pre` and sets the derivative there.
struct Relu {
  template <class T>
  AMEND_HOST_DEVICE T operator()(T pre, T& slope) const {
    slope = pre > T(0) ? T(1) : T(0);
    return pre < T(0) ? T(0) : pre;  // NaN stays NaN
  }
};
struct Tanh {
  template <class T>
  AMEND_HOST_DEVICE T operator()(T pre, T& slope) const {
    const T t = hyperbolic_tangent(pre);
    slope = T(1) - t * t;
    return t;
  }
};
struct Silu {
  template <class T>
  AMEND_HOST_DEVICE T operator()(T pre, T& slope) const {
    const T s = sigmoid(pre);
    slope = s * (T(1) + pre * (T(1) - s));
    return pre * s;
  }
};
struct Sigmoid {
  template <class T>
  AMEND_HOST_DEVICE T operator()(T pre, T& slope) const {
    const T s = sigmoid(pre);
    slope = s * (T(1) - s);
    return s;
  }
};

/// What a correlation is with: z_1 - z_0, or the largest logit minus the second largest.
template <class T>
AMEND_HOST_DEVICE inline T margin_of(const T* z, std::int64_t classes) {
  if (classes == 2) return z[1] - z[0];
  T largest = z[0] < z[1] ? z[1] : z[0], second = z[0] < z[1] ? z[0] : z[1];
  for (std::int64_t c = 2; c < classes; ++c) {
    const T lower = z[c] < largest ? z[c] : largest;
    second = second < lower ? lower : second;
    largest = largest < z[c] ? z[c] : largest;
  }
  return largest - second;
}

/// Rows whose sum of equal numbers may have a relative error of half as many epsilon before a mean is formed of it.
inline constexpr int kMomentRows = 256;

/// 0 where a deviation is no more than what rounding makes of a constant.
template <class T>
AMEND_HOST_DEVICE inline T correlation(T covariance, T variance, T square, T margin_variance, T margin_square) {
  constexpr T kNoise = static_cast<T>(kMomentRows / 2) * std::numeric_limits<T>::epsilon();
  if (!(std::sqrt(variance) > kNoise * std::sqrt(square))) return T(0);
  if (!(std::sqrt(margin_variance) > kNoise * std::sqrt(margin_square))) return T(0);
  const T value = covariance / (std::sqrt(variance) * std::sqrt(margin_variance));
  return value < T(-1) ? T(-1) : (T(1) < value ? T(1) : value);
}

}  // namespace amend::kernels
