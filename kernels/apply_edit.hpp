#pragma once

#include "kernels/block_table.hpp"

namespace amend::kernels {

/// The edited network. With S_j and N_i the gates of source and target neuron (an input neuron's is its feature's):
///
///   w' = S_j N_i m_ij (base_ij + scale_l residual_ij)
///   b' = N_i (b + sum_j (w - w') mu_j + scale_l bias_residual_i)
///
/// What a removed weight contributed on average is folded into the bias. A weight that is exactly 0 stays 0: an edit
/// never adds a connection, so that what was pruned stays pruned and a feature that was not read is not read.
struct ApplyEdit {
  BlockTable table;
  TensorView weight;         // (edges)
  TensorView base;           // (edges), optional: the weight itself
  TensorView bias;           // (nodes)
  TensorView mean;           // (nodes): mu, the mean activation of the original network
  TensorView scale;          // (blocks): rms of the block's weights
  TensorView gate;           // (edges): m
  TensorView residual;       // (edges)
  TensorView node_gate;      // (nodes): S and N
  TensorView bias_residual;  // (nodes)
  TensorView edited_weight;  // (edges)
  TensorView edited_bias;    // (nodes), 0 at input nodes
};
AMEND_DECLARE_KERNEL(apply_edit_forward, ApplyEdit)

/// Adds to the gradients of base, gate, residual, node_gate and bias_residual; absent ones are skipped.
struct ApplyEditGradient {
  ApplyEdit forward;
  TensorView grad_edited_weight;  // (edges), optional: 0
  TensorView grad_edited_bias;    // (nodes), optional: 0
  TensorView grad_base;           // (edges), optional
  TensorView grad_gate;           // (edges), optional
  TensorView grad_residual;       // (edges), optional
  TensorView grad_node_gate;      // (nodes), optional
  TensorView grad_bias_residual;  // (nodes), optional
};
AMEND_DECLARE_KERNEL(apply_edit_backward, ApplyEditGradient)

/// Spreads gates over the nodes: input neurons take their feature's, hidden neurons their own, everything else is 1.
struct NodeGate {
  BlockTable table;
  TensorView feature_gate;   // (networks, features), optional
  TensorView input_feature;  // (inputs) int32: the feature an input column belongs to; with feature_gate
  TensorView neuron_gate;    // (hidden nodes of the batch), optional
  TensorView node_gate;      // (nodes)
};
AMEND_DECLARE_KERNEL(node_gate_forward, NodeGate)

struct NodeGateGradient {
  NodeGate forward;
  TensorView grad_node_gate;     // (nodes)
  TensorView grad_feature_gate;  // (networks, features), optional
  TensorView grad_neuron_gate;   // (hidden nodes), optional
};
AMEND_DECLARE_KERNEL(node_gate_backward, NodeGateGradient)

/// The rows of the hidden neurons, network after network: y[h] = x[node of hidden neuron h].
struct HiddenRows {
  BlockTable table;
  TensorView x;  // (nodes)
  TensorView y;  // (hidden nodes)
};
AMEND_DECLARE_KERNEL(hidden_rows_forward, HiddenRows)

/// Adds grad_y to grad_x.
struct HiddenRowsGradient {
  BlockTable table;
  TensorView grad_y;  // (hidden nodes)
  TensorView grad_x;  // (nodes)
};
AMEND_DECLARE_KERNEL(hidden_rows_backward, HiddenRowsGradient)

}  // namespace amend::kernels
