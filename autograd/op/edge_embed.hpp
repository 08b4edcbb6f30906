#pragma once

#include "autograd/tape.hpp"
#include "kernels/edge_embed.hpp"

namespace amend::op {

/// W f + b of the features of every edge -> (edges, D); shapes as in kernels::EdgeEmbed. Of type bfloat16 when
/// `narrow`, which is for tapes that do not record.
Variable edge_embed(Tape& tape, const kernels::BlockTable& table, const kernels::EdgeInput& features, Variable weight,
                    Variable bias, bool narrow = false);

}  // namespace amend::op
