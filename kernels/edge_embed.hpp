#pragma once

#include "kernels/edge_input.hpp"

namespace amend::kernels {

/// States of edges before the first message layer: out = W f + b, with the features f of an edge, which are formed on
/// the way.
struct EdgeEmbed {
  BlockTable table;
  EdgeInput input;    // features
  TensorView weight;  // (D, input.width())
  TensorView bias;    // (D)
  TensorView out;     // (edges, D); of the type of the others or, beside float32, bfloat16
};
AMEND_DECLARE_KERNEL(edge_embed_forward, EdgeEmbed)

/// Forms the features again; adds to the gradients.
struct EdgeEmbedGradient {
  EdgeEmbed forward;
  TensorView grad_out;     // (edges, D)
  TensorView grad_weight;  // (D, input.width())
  TensorView grad_bias;    // (D)
};
AMEND_DECLARE_KERNEL(edge_embed_backward, EdgeEmbedGradient)

}  // namespace amend::kernels
