#pragma once

#include <array>
#include <cmath>

#include "kernels/kernel.hpp"

// No tape rule: the optimiser runs on gradients.

namespace amend::kernels {

/// Gradients to a partial sum of `GradientSquares`.
inline constexpr std::int64_t kSquaresChunk = 1 << 12;

/// The square of a gradient's norm, as partial sums: a step of AdamW adds them up. Their total has a meaning, not each.
struct GradientSquares {
  TensorView grad;     // (n)
  TensorView squares;  // (ceil(n / kSquaresChunk)) float64
};
AMEND_DECLARE_KERNEL(gradient_squares, GradientSquares)

/// Rates of the moments' averages, where nothing speaks for others.
inline constexpr double kAdamBeta1 = 0.9, kAdamBeta2 = 0.999;

/// One step of AdamW: Loshchilov & Hutter, *Decoupled weight decay regularization*, ICLR 2019, with the decay
/// `learning_rate * weight_decay * value`. A segment of learning rate 0 is left untouched, its moments and average
/// included. What changes from step to step lies in tensors: a step can be captured once and repeated.
struct AdamW {
  TensorView value;          // (n)
  TensorView grad;           // (n)
  TensorView first_moment;   // (n), zeros before step 1
  TensorView second_moment;  // (n), zeros before step 1
  TensorView average;        // (n), optional: decay * average + (1 - decay) * value after the step
  Segments segments;         // of the n elements
  TensorView learning_rate;  // (segments) float64
  TensorView weight_decay;   // (segments) float64
  TensorView schedule;       // (3) float64: see adamw_schedule
  double beta1 = kAdamBeta1, beta2 = kAdamBeta2, epsilon = 1e-8;
  TensorView squares;     // of GradientSquares, optional: gradients are scaled by min(1, max_norm / norm)
  TensorView norm;        // out (1), with squares: the norm of the gradient as it was
  double max_norm = 0.0;  // > 0 with squares
};
AMEND_DECLARE_KERNEL(adamw, AdamW)

/// AdamW::schedule of a step, which count from 1: what corrects the bias of the moments, 1 - beta1^step and
/// 1 / sqrt(1 - beta2^step), and the decay of the average.
inline std::array<double, 3> adamw_schedule(std::int64_t step, double average_decay = 0.0, double beta1 = kAdamBeta1,
                                            double beta2 = kAdamBeta2) {
  check(step >= 1, "adamw_schedule", "steps count from 1, got ", step);
  const auto t = static_cast<double>(step);
  return {1.0 - std::pow(beta1, t), 1.0 / std::sqrt(1.0 - std::pow(beta2, t)), average_decay};
}

}  // namespace amend::kernels
