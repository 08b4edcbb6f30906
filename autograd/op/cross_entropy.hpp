#pragma once

#include "autograd/tape.hpp"
#include "kernels/cross_entropy.hpp"

namespace amend::op {

/// Mean over rows of class_weight[label] * -log softmax(logits)[label]. logits (networks, rows, classes), label
/// (networks, rows) int32, class_weight (networks, classes) or absent -> (networks).
Variable cross_entropy(Tape& tape, Variable logits, const TensorView& label, const TensorView& class_weight = {});

}  // namespace amend::op
