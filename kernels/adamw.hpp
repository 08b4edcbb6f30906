#pragma once

#include "kernels/kernel.hpp"

// No tape rule: the optimiser runs on gradients.

namespace amend::kernels {

/// norm = square root of the sum of squares.
struct GradientNorm {
  TensorView grad;  // (n)
  TensorView norm;  // (1)
};
AMEND_DECLARE_KERNEL(gradient_norm, GradientNorm)

/// One step of AdamW: Loshchilov & Hutter, *Decoupled weight decay regularization*, ICLR 2019, with the decay
/// `learning_rate * weight_decay * value`. A segment of learning rate 0 is left untouched, its moments and average
/// included.
struct AdamW {
  TensorView value;          // (n)
  TensorView grad;           // (n)
  TensorView first_moment;   // (n), zeros before step 1
  TensorView second_moment;  // (n), zeros before step 1
  TensorView average;        // (n), optional: average_decay * average + (1 - average_decay) * value after the step
  double average_decay = 0.0;
  Segments segments;         // of the n elements
  TensorView learning_rate;  // (segments) float64
  TensorView weight_decay;   // (segments) float64
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  std::int64_t step = 1;     // from 1
  TensorView gradient_norm;  // (1), optional: gradients are scaled by min(1, max_norm / gradient_norm)
  double max_norm = 0.0;     // > 0 with gradient_norm
};
AMEND_DECLARE_KERNEL(adamw, AdamW)

}  // namespace amend::kernels
