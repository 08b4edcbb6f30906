#pragma once

#include "kernels/edge_embed.hpp"
#include "kernels/edge_update.hpp"

namespace amend::kernels::cpu {

/// edge_update in float32 or float64 on the states that `embed` forms, tile by tile: neither they nor their gradient
/// lie in memory. Arguments that edge_embed_update lets pass.
void edge_update_forward(const EdgeUpdate& args, const EdgeEmbed& embed);
void edge_update_backward(const EdgeUpdateGradient& args, const EdgeEmbedGradient& embed);

}  // namespace amend::kernels::cpu
