#pragma once

#include "autograd/tape.hpp"
#include "kernels/linear.hpp"

namespace amend::op {

/// y = x weight^T + bias. x (rows, in), weight (out, in), bias (out) or absent -> (rows, out).
Variable linear(Tape& tape, Variable x, Variable weight, Variable bias, const kernels::Segments& segments);

}  // namespace amend::op
