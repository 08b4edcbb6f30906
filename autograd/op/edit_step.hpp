#pragma once

#include "autograd/tape.hpp"
#include "kernels/edit_step.hpp"

namespace amend::op {

/// The state of an edit: a gate logit and a residual per weight, or per neuron.
struct EditState {
  Variable logit;     // (n)
  Variable residual;  // (n)
};

struct EditStepOptions {
  double logit_scale = 3.0;
  double residual_scale = 0.3;
  TensorView prior;       // (n), optional
  Variable prior_gain;    // (1), with prior
  TensorView step;        // (n, steps), optional
  bool in_place = false;  // on a tape that is not recording: the state's memory is that of the result
};

/// Moves `state` (absent members: from zero) by `out` (n, 2 + steps); see kernels::EditStep.
EditState edit_step(Tape& tape, Variable out, const EditState& state, const EditStepOptions& options);

}  // namespace amend::op
