#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// Jensen-Shannon divergence in nats (0 .. ln 2) between softmax(logits_p) and softmax(logits_q), mean over the first
/// `row_count` rows of each network.
struct Divergence {
  TensorView logits_p;     // (networks, rows, classes)
  TensorView logits_q;     // (networks, rows, classes)
  std::int64_t row_count;  // 1 .. rows
  TensorView divergence;   // (networks)
};
AMEND_DECLARE_KERNEL(divergence_forward, Divergence)

/// Adds to grad_logits_q; rows from row_count on receive nothing. p is a constant.
struct DivergenceGradient {
  Divergence forward;
  TensorView grad_divergence;  // (networks)
  TensorView grad_logits_q;    // (networks, rows, classes)
};
AMEND_DECLARE_KERNEL(divergence_backward, DivergenceGradient)

}  // namespace amend::kernels
