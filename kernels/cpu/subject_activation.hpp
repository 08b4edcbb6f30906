#pragma once

// The activations of subject networks with their derivatives: what subject_forward and feature_ablation share.

#include "kernels/subject_math.hpp"

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
    case SubjectActivation::relu: return activate_with(count, y, slope, Relu());
    case SubjectActivation::tanh: return activate_with(count, y, slope, Tanh());
    case SubjectActivation::silu: return activate_with(count, y, slope, Silu());
    case SubjectActivation::sigmoid: return activate_with(count, y, slope, Sigmoid());
  }
  fail("subject_forward", "unknown activation ", activation);
}

}  // namespace amend::kernels::cpu
