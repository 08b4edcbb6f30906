#pragma once

#include "kernels/edge_input.hpp"

namespace amend::kernels {

/// A small network for every weight, on hoisted node projections. For the edge of block b, of kind q, from source j to
/// target i, with (u, v) = the two halves of a node's projection:
///
///   h = relu(W e + W2 e2 + u_i + v_j + kind_bias_q)     h = relu(mix h), when there is one
///   out = head_q h + head_bias_q
///
/// It turns edge states (or, without message layers, features) into gate logit and residual, and is the network of the
/// refinement passes. Features of weights are formed on the way and never in memory.
struct EditHead {
  BlockTable table;
  EdgeInput edge;         // D wide
  TensorView weight;      // (H, D)
  EdgeInput edge2;        // D2 wide, optional
  TensorView weight2;     // (H, D2), with edge2
  TensorView projection;  // (nodes, 2 H): u, v
  TensorView kind_bias;   // (kBlockKinds, H)
  TensorView mix;         // (H, H), optional
  TensorView head;        // (kBlockKinds, outputs, H)
  TensorView head_bias;   // (kBlockKinds, outputs)
  TensorView out;         // (edges, outputs)
};
AMEND_DECLARE_KERNEL(edit_head_forward, EditHead)

/// Recomputes features and hidden layers; adds to the gradients. Absent ones are skipped.
struct EditHeadGradient {
  EditHead forward;
  TensorView grad_out;         // (edges, outputs)
  TensorView grad_edge;        // (edges, D), optional: of rows
  bool fresh_edge = false;     // grad_edge is written, whatever it holds
  TensorView grad_weight;      // (H, D)
  TensorView grad_edge2;       // (edges, D2), optional: of rows
  TensorView grad_weight2;     // (H, D2), with edge2
  TensorView grad_projection;  // (nodes, 2 H)
  TensorView grad_kind_bias;   // (kBlockKinds, H)
  TensorView grad_mix;         // (H, H), with mix
  TensorView grad_head;        // (kBlockKinds, outputs, H)
  TensorView grad_head_bias;   // (kBlockKinds, outputs)
};
AMEND_DECLARE_KERNEL(edit_head_backward, EditHeadGradient)

}  // namespace amend::kernels
