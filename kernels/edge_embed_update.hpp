#pragma once

#include "kernels/edge_embed.hpp"
#include "kernels/edge_update.hpp"

namespace amend::kernels {

/// Whether edge_embed_update has its states in memory. On the CPU exact products form them tile by tile, and with them
/// z = (C W) f + C b + u + v, which takes the features' terms instead of the states'.
inline bool stores_states(Device device, Precision precision) {
  return device.is_cuda() || precision != Precision::float32;
}

/// The first message layer: edge_embed, and edge_update on its states, which nobody else reads.
struct EdgeEmbedUpdate {
  EdgeEmbed embed;    // `out`: where `stores_states`, else not used
  EdgeUpdate update;  // `edge`: embed.out
};
AMEND_DECLARE_KERNEL(edge_embed_update_forward, EdgeEmbedUpdate)

/// Adds to the gradients of the parameters of both and of the projection.
struct EdgeEmbedUpdateGradient {
  EdgeEmbedGradient embed;    // `grad_out`: update.grad_edge
  EdgeUpdateGradient update;  // `grad_edge`: where `stores_states`, else not used; grad_edge_out itself, or zeros
};
AMEND_DECLARE_KERNEL(edge_embed_update_backward, EdgeEmbedUpdateGradient)

}  // namespace amend::kernels
