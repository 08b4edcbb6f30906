#pragma once

#include "autograd/tape.hpp"
#include "kernels/reduce.hpp"

namespace amend::op {

/// sum of weight[i] * x[i]: x (n), weight (n) constant -> (1).
Variable weighted_sum(Tape& tape, Variable x, const TensorView& weight);

/// Mean over the rows of each segment: (rows, width) -> (segments, width).
Variable segment_mean(Tape& tape, Variable x, const kernels::Segments& segments);

/// x[row] + term[segment of row]: (rows, width), (segments, width) -> (rows, width).
Variable segment_add(Tape& tape, Variable x, Variable term, const kernels::Segments& segments);

/// x + y, same shape.
Variable add(Tape& tape, Variable x, Variable y);

/// Returns `loss` (1), and on the way back adds grad_loss * `slope` to the gradient of x: how an estimate of the loss's
/// slope that was not found by the chain rule enters a backward pass. slope: of x's shape, a constant.
Variable attach_gradient(Tape& tape, Variable loss, Variable x, const TensorView& slope);

}  // namespace amend::op
