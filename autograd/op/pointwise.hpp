#pragma once

#include "autograd/tape.hpp"
#include "kernels/pointwise.hpp"

namespace amend::op {

/// y = f(x), element by element; the shape of x.
Variable pointwise(Tape& tape, kernels::PointwiseOp op, Variable x);

}  // namespace amend::op
