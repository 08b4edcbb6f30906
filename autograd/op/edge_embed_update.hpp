#pragma once

#include "autograd/op/edge_update.hpp"
#include "kernels/edge_embed_update.hpp"

namespace amend::op {

/// edge_update on the states W f + b of every edge, which nobody else reads; shapes and precision as in
/// kernels::EdgeEmbed and kernels::EdgeUpdate. The six variables need gradients, or none of them does.
EdgeUpdateResult edge_embed_update(Tape& tape, const kernels::BlockTable& table, const kernels::EdgeInput& features,
                                   Variable weight, Variable bias, Variable projection, Variable weight_c,
                                   Variable weight_g, Variable modulation,
                                   kernels::Precision precision = kernels::Precision::float32);

}  // namespace amend::op
