#pragma once

// The activations of subject networks with their derivatives: what subject_forward and feature_ablation share.

#include "kernels/kernel.hpp"
#include "kernels/math.hpp"
#include "kernels/subject_forward.hpp"

namespace amend::kernels::cpu {

/// y (count) holds what enters the activation; it is overwritten with the activation, and slope, unless null, with its
/// derivative there. `f(pre, slope)` returns the activation and sets the slope.
template <class T, class F>
void activate_with(std::int64_t count, T* y, T* slope, const F& f) {
  T unused;
  if (slope)
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(y[i], slope[i]);
  else
    for (std::int64_t i = 0; i < count; ++i) y[i] = f(y[i], unused);
}

template <class T>
void activate(std::int32_t activation, std::int64_t count, T* y, T* slope) {
  switch (static_cast<SubjectActivation>(activation)) {
    case SubjectActivation::relu:
      return activate_with(count, y, slope, [](T pre, T& d) {
        d = pre > T(0) ? T(1) : T(0);
        return pre > T(0) ? pre : T(0);
      });
    case SubjectActivation::tanh:
      return activate_with(count, y, slope, [](T pre, T& d) {
        const T t = hyperbolic_tangent(pre);
        d = T(1) - t * t;
        return t;
      });
    case SubjectActivation::silu:
      return activate_with(count, y, slope, [](T pre, T& d) {
        const T s = sigmoid(pre);
        d = s * (T(1) + pre * (T(1) - s));
        return pre * s;
      });
    case SubjectActivation::sigmoid:
      return activate_with(count, y, slope, [](T pre, T& d) {
        const T s = sigmoid(pre);
        d = s * (T(1) - s);
        return s;
      });
  }
  fail("subject_forward", "unknown activation ", activation);
}

}  // namespace amend::kernels::cpu
