#pragma once

#include "kernels/edge_embed.hpp"
#include "kernels/precision.hpp"

// No tape rule: for inference only. Training needs what the layers compute on the way and runs them one by one.

namespace amend::kernels {

inline constexpr int kMaxMessageLayers = 8;

/// The parameters of one layer, and what the condition makes of it for each network.
struct MessageLayer {
  TensorView projection_weight;  // (4 D, H)
  TensorView projection_bias;    // (4 D)
  TensorView weight_c;           // (D, D)
  TensorView weight_g;           // (D, D)
  TensorView modulation;         // (networks, 3 D): gamma, beta, alpha of the edges
  TensorView weight1;            // (F, H + 2 D + P)
  TensorView bias1;              // (F)
  TensorView weight2;            // (H, F)
  TensorView bias2;              // (H)
  TensorView alpha;              // (networks, H) of the nodes
};

/// Message layers one after the other: project the nodes (linear), edge_update, node_update, each on the results of the
/// one before. With `embed` the states are formed first (edge_embed), on chip where they stay there, or by the first
/// layer (edge_embed_update).
struct MessageLayers {
  BlockTable table;
  std::int32_t layers = 0;                   // 0 .. kMaxMessageLayers
  EdgeEmbed embed;                           // optional; its `out` is `edge`, in which may be anything then
  TensorView edge;                           // (edges, D)
  TensorView node;                           // (nodes, H)
  TensorView condition;                      // (networks, P)
  TensorView edge_out;                       // (edges, D); may be `edge` itself
  TensorView node_out;                       // (nodes, H); may be `node` itself
  TensorView projection;                     // (nodes, 4 D): scratch
  TensorView aggregate;                      // (nodes, 2 D): scratch
  Precision precision = Precision::float32;  // of the edges' products
  MessageLayer layer[kMaxMessageLayers];     // the first `layers` of them
};
AMEND_DECLARE_KERNEL(message_layers, MessageLayers)

}  // namespace amend::kernels
