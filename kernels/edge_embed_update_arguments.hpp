#pragma once

// What both twins of edge_embed_update expect of their arguments; of each half: feature_arguments.hpp,
// edge_arguments.hpp.

#include "kernels/arguments.hpp"
#include "kernels/edge_embed_update.hpp"

namespace amend::kernels {

/// Throws Error unless the halves fit each other. stored: as stores_states says.
inline void validate(const EdgeEmbedUpdate& a, bool stored) {
  constexpr const char* kName = "edge_embed_update";
  check(a.embed.table.block == a.update.table.block && a.embed.table.node_count == a.update.table.node_count, kName,
        "expected one table for `embed` and `update`");
  check(!stored || a.embed.out.data == a.update.edge.data, kName, "expected the states of `embed` as `update.edge`");
  expect(kName, "edge_out", a.update.edge_out, {a.update.table.edge_count, a.embed.weight.extent(0)},
         a.update.edge_out.dtype);
}

inline void validate(const EdgeEmbedUpdateGradient& g, bool stored) {
  validate(EdgeEmbedUpdate{.embed = g.embed.forward, .update = g.update.forward}, stored);
  check(!stored || g.embed.grad_out.data == g.update.grad_edge.data, "edge_embed_update",
        "expected `update.grad_edge` as `embed.grad_out`");
}

}  // namespace amend::kernels
