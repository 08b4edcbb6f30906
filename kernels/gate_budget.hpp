#pragma once

#include "kernels/kernel.hpp"

// No tape rule: budgets are for edits, which nothing is learned from.

namespace amend::kernels {

/// Moves the logits of a network so that gates that close at 0 leave a given number open: those with the largest
/// logits. shifted[i] = logit[i] - cut, where the cut lies halfway between the last logit that stays above 0 and the
/// first that does not. Of equal logits at the cut all are closed: never more are open than the budget.
struct GateBudget {
  TensorView logit;    // (n)
  TensorView counted;  // (n), optional: where it is 0 there is nothing to keep; such gates do not count and are closed
  TensorView budget;   // (segments) int32: gates to leave open; below 0: the logits stay as they are
  Segments segments;   // of the n logits: one a network
  TensorView shifted;  // (n)
};
AMEND_DECLARE_KERNEL(gate_budget, GateBudget)

}  // namespace amend::kernels
