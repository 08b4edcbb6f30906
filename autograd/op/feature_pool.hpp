#pragma once

#include "autograd/tape.hpp"
#include "kernels/feature_pool.hpp"

namespace amend::op {

/// Mean over the input nodes of every feature: x (nodes, width), feature_offset (features + 1) int32 -> (networks *
/// features, width).
Variable feature_pool(Tape& tape, const kernels::BlockTable& table, Variable x, const TensorView& feature_offset);

}  // namespace amend::op
