#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// Moves the state of an edit - a logit and a residual per weight, or per neuron - by what the editor's head says:
///
///   logit    = logit_in    + logit_scale * out[:, 0] + prior_gain * prior
///   residual = residual_in + residual_scale * out[:, 1] + sum_k out[:, 2 + k] * step[:, k]
///
/// `step` are proposed moves (diagonal Newton, in units of rms weight) whose gains the editor sets; `prior` is what
/// optimal brain damage says of the logit.
struct EditStep {
  TensorView out;          // (n, 2 + steps)
  TensorView logit_in;     // (n), optional: 0
  TensorView residual_in;  // (n), optional: 0
  TensorView prior;        // (n), optional, no gradient
  TensorView prior_gain;   // (1), with prior
  TensorView step;         // (n, steps), no gradient; absent when steps is 0
  double logit_scale = 3.0;
  double residual_scale = 0.3;
  TensorView logit;     // (n), may be logit_in
  TensorView residual;  // (n), may be residual_in
};
AMEND_DECLARE_KERNEL(edit_step_forward, EditStep)

/// Adds to the gradients; absent ones are skipped.
struct EditStepGradient {
  EditStep forward;
  TensorView grad_logit;        // (n), optional: 0
  TensorView grad_residual;     // (n), optional: 0
  TensorView grad_out;          // (n, 2 + steps), optional
  TensorView grad_logit_in;     // (n), optional
  TensorView grad_residual_in;  // (n), optional
  TensorView grad_prior_gain;   // (1), optional
};
AMEND_DECLARE_KERNEL(edit_step_backward, EditStepGradient)

}  // namespace amend::kernels
