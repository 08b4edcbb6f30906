#pragma once

#include "autograd/tape.hpp"
#include "kernels/feature_fold.hpp"

namespace amend::op {

struct FoldedFeatures {
  Variable base;    // (edges)
  TensorView beta;  // (networks, inputs, inputs), a constant
};

/// Weights with what closed features contributed folded into those of the open ones; see kernels::FeatureFold. weight
/// (edges), feature_gate (networks, features), covariance (inputs, inputs) float64.
FoldedFeatures feature_fold(Tape& tape, const kernels::BlockTable& table, const TensorView& weight,
                            Variable feature_gate, const TensorView& feature_offset, const TensorView& covariance);

}  // namespace amend::op
