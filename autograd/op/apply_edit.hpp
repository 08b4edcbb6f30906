#pragma once

#include "autograd/tape.hpp"
#include "kernels/apply_edit.hpp"

namespace amend::op {

/// The network before the edit and what the probe said of it.
struct OriginalNetwork {
  TensorView weight;  // (edges)
  TensorView bias;    // (nodes)
  TensorView mean;    // (nodes): mean activation
  TensorView scale;   // (blocks): rms of the weights
};

struct EditedNetwork {
  Variable weight;  // (edges)
  Variable bias;    // (nodes)
};

/// Masks, residuals and bias folding; see kernels::ApplyEdit. `base` (edges): weights to start from, if not the
/// original.
EditedNetwork apply_edit(Tape& tape, const kernels::BlockTable& table, const OriginalNetwork& original, Variable gate,
                         Variable residual, Variable node_gate, Variable bias_residual, Variable base = {});

/// Gates of all nodes from those of features (networks, features) and of hidden neurons (hidden nodes); either may be
/// absent -> (nodes).
Variable node_gate(Tape& tape, const kernels::BlockTable& table, DType dtype, Variable feature_gate,
                   const TensorView& input_feature, Variable neuron_gate);

/// The entries of the hidden neurons: (nodes) -> (hidden nodes).
Variable hidden_rows(Tape& tape, const kernels::BlockTable& table, Variable x);

}  // namespace amend::op
