#pragma once

#include "autograd/tape.hpp"
#include "kernels/edge_embed.hpp"

namespace amend::op {

/// W f + b of the features of every edge -> (edges, D); shapes as in kernels::EdgeEmbed.
Variable edge_embed(Tape& tape, const kernels::BlockTable& table, const kernels::EdgeInput& features, Variable weight,
                    Variable bias);

}  // namespace amend::op
