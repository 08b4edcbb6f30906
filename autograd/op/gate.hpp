#pragma once

#include "autograd/tape.hpp"
#include "kernels/gate.hpp"

namespace amend::op {

struct GateOptions {
  kernels::GateKind kind = kernels::GateKind::straight_through;
  bool training = false;
  double temperature = 0.5;
  double bound = 4.0;
  TensorView noise;  // (n), optional
};

struct GateResult {
  Variable gate;     // (n)
  Variable penalty;  // (segments): expected share of open gates
  Variable barrier;  // (segments): mean squared excess of the logits over their bound
};

/// Gates from logits (n); see kernels::Gate.
GateResult gate(Tape& tape, Variable logit, const kernels::Segments& segments, const GateOptions& options);

}  // namespace amend::op
