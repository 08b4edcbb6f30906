#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

enum class GateKind : std::int32_t {
  scale,             // 2 sigmoid(x): multiplies, never closes
  straight_through,  // open where x / temperature + noise > 0; the gradient is that of sigmoid(x / temperature)
  hard_concrete,     // Louizos, Welling, Kingma, arXiv 1712.01312, eq. 10 - 12, stretched to (-0.1, 1.1)
};

/// From logits to gates. In training the noise (standard logistic, one draw for all passes) makes them stochastic;
/// without `training` they are exactly 0 or 1 (`scale` apart): open where the logit is above 0.
struct Gate {
  GateKind kind = GateKind::straight_through;
  bool training = false;
  double temperature = 0.5;
  double bound = 4.0;  // logits (`scale` apart) are clamped to +-bound; the gradient passes, the barrier pulls back
  TensorView logit;    // (n)
  TensorView noise;    // (n), optional: none when absent; read in training only
  Segments segments;   // of the n logits: one a network
  TensorView gate;     // (n)
  TensorView penalty;  // (segments): share of gates expected to be open (open, when not training); 0 for `scale`
  TensorView barrier;  // (segments): mean of max(|logit| - bound, 0)^2; 0 for `scale`
};
AMEND_DECLARE_KERNEL(gate_forward, Gate)

/// Adds to grad_logit what the three outputs imply.
struct GateGradient {
  Gate forward;
  TensorView grad_gate;     // (n), optional
  TensorView grad_penalty;  // (segments), optional
  TensorView grad_barrier;  // (segments), optional
  TensorView grad_logit;    // (n)
};
AMEND_DECLARE_KERNEL(gate_backward, GateGradient)

/// y[i] = scale * number i of the standard logistic sequence (seed, stream, step). `schedule` (2) float64, optional:
/// step and scale, instead of the fields: for a step that is captured once and repeated.
struct LogisticNoise {
  TensorView y;
  std::uint64_t seed = 0;
  std::uint32_t stream = 0, step = 0;
  double scale = 1.0;
  TensorView schedule;
};
AMEND_DECLARE_KERNEL(logistic_noise, LogisticNoise)

}  // namespace amend::kernels
