#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// loss[b] = mean over rows of class_weight[b, label] * -log softmax(logits)[label].
/// Throws Error for a label outside 0 .. classes - 1.
struct CrossEntropy {
  TensorView logits;        // (networks, rows, classes)
  TensorView label;         // (networks, rows) int32
  TensorView class_weight;  // (networks, classes), optional: 1
  TensorView loss;          // (networks)
};
AMEND_DECLARE_KERNEL(cross_entropy_forward, CrossEntropy)

/// Adds to grad_logits.
struct CrossEntropyGradient {
  CrossEntropy forward;
  TensorView grad_loss;    // (networks)
  TensorView grad_logits;  // (networks, rows, classes)
};
AMEND_DECLARE_KERNEL(cross_entropy_backward, CrossEntropyGradient)

}  // namespace amend::kernels
