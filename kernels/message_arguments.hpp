#pragma once

// What both twins of message_layers expect of their arguments, and the arguments of the kernels of its layers.

#include "kernels/arguments.hpp"
#include "kernels/edge_arguments.hpp"
#include "kernels/feature_arguments.hpp"
#include "kernels/linear.hpp"
#include "kernels/message_layers.hpp"
#include "kernels/node_update.hpp"

namespace amend::kernels {

/// The arguments of a layer's three kernels, which start from `edge` and `node`.
inline Linear projection_of(const MessageLayers& a, std::int32_t layer, const TensorView& node) {
  return {.x = node,
          .weight = a.layer[layer].projection_weight,
          .bias = a.layer[layer].projection_bias,
          .y = a.projection,
          .segments = a.table.network_nodes};
}
inline EdgeUpdate edges_of(const MessageLayers& a, std::int32_t layer, const TensorView& edge) {
  return {.table = a.table,
          .edge = edge,
          .projection = a.projection,
          .weight_c = a.layer[layer].weight_c,
          .weight_g = a.layer[layer].weight_g,
          .modulation = a.layer[layer].modulation,
          .edge_out = a.edge_out,
          .aggregate = a.aggregate,
          .precision = a.precision};
}
inline NodeUpdate nodes_of(const MessageLayers& a, std::int32_t layer, const TensorView& node) {
  return {.table = a.table,
          .node = node,
          .aggregate = a.aggregate,
          .condition = a.condition,
          .weight1 = a.layer[layer].weight1,
          .bias1 = a.layer[layer].bias1,
          .weight2 = a.layer[layer].weight2,
          .bias2 = a.layer[layer].bias2,
          .alpha = a.layer[layer].alpha,
          .node_out = a.node_out};
}

/// Throws Error unless the arguments fit each other.
inline void validate(const MessageLayers& a) {
  constexpr const char* kName = "message_layers";
  const std::int64_t d = a.edge.extent(1), h = a.node.extent(1), p = a.condition.extent(1),
                     networks = a.table.network_count;
  const DType dtype = a.node.dtype;
  check(a.layers >= 0 && a.layers <= kMaxMessageLayers, kName, "expected at most ", kMaxMessageLayers, " layers, got ",
        a.layers);
  if (a.embed.input) {
    validate(a.embed);
    check(static_cast<bool>(a.embed.input.first), kName, "expected the features of the first pass as `embed.input`");
    check(a.embed.table.block == a.table.block, kName, "expected one table for `embed` and the layers");
    check(a.embed.out.data == a.edge.data && a.embed.out.shape == a.edge.shape && a.embed.out.dtype == a.edge.dtype,
          kName, "expected the states of `embed` as `edge`");
  }
  expect(kName, "edge", a.edge, {a.table.edge_count, d}, a.edge.dtype);
  expect(kName, "edge_out", a.edge_out, a.edge.shape, a.edge.dtype);
  expect(kName, "node", a.node, {a.table.node_count, h}, dtype);
  expect(kName, "node_out", a.node_out, a.node.shape, dtype);
  expect(kName, "condition", a.condition, {networks, p}, dtype);
  expect(kName, "projection", a.projection, {a.table.node_count, 4 * d}, dtype);
  expect(kName, "aggregate", a.aggregate, {a.table.node_count, 2 * d}, dtype);
  for (std::int32_t l = 0; l < a.layers; ++l) {
    const MessageLayer& layer = a.layer[l];
    const std::int64_t f = layer.weight1.extent(0);
    expect(kName, "projection_weight", layer.projection_weight, {4 * d, h}, dtype);
    expect(kName, "projection_bias", layer.projection_bias, {4 * d}, dtype);
    expect(kName, "weight1", layer.weight1, {f, h + 2 * d + p}, dtype);
    expect(kName, "bias1", layer.bias1, {f}, dtype);
    expect(kName, "weight2", layer.weight2, {h, f}, dtype);
    expect(kName, "bias2", layer.bias2, {h}, dtype);
    expect(kName, "alpha", layer.alpha, {networks, h}, dtype);
    validate(edges_of(a, l, a.edge));
  }
}

}  // namespace amend::kernels
