#pragma once

#include "kernels/block_table.hpp"

namespace amend::kernels {

/// The node half of a message layer: x' = x + alpha * (W2 silu(W1 layer_norm[x, m, c] + b1) + b2), where m are the
/// aggregates of edge_update and c the condition of the node's network.
struct NodeUpdate {
  BlockTable table;
  TensorView node;       // (nodes, H): x
  TensorView aggregate;  // (nodes, M): m
  TensorView condition;  // (networks, P): c
  TensorView weight1;    // (F, H + M + P)
  TensorView bias1;      // (F)
  TensorView weight2;    // (H, F)
  TensorView bias2;      // (H)
  TensorView alpha;      // (networks, H)
  TensorView node_out;   // (nodes, H): x'; may be `node` itself
};
AMEND_DECLARE_KERNEL(node_update_forward, NodeUpdate)

/// Recomputes the hidden layer; adds to the gradients of all inputs.
struct NodeUpdateGradient {
  NodeUpdate forward;
  TensorView grad_node_out;   // (nodes, H)
  TensorView grad_node;       // (nodes, H)
  TensorView grad_aggregate;  // (nodes, M)
  TensorView grad_condition;  // (networks, P)
  TensorView grad_weight1;    // (F, H + M + P)
  TensorView grad_bias1;      // (F)
  TensorView grad_weight2;    // (H, F)
  TensorView grad_bias2;      // (H)
  TensorView grad_alpha;      // (networks, H)
};
AMEND_DECLARE_KERNEL(node_update_backward, NodeUpdateGradient)

}  // namespace amend::kernels
