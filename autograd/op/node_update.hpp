#pragma once

#include "autograd/tape.hpp"
#include "kernels/node_update.hpp"

namespace amend::op {

struct NodeUpdateParameters {
  Variable weight1, bias1;  // (F, H + M + P), (F)
  Variable weight2, bias2;  // (H, F), (H)
};

/// x + alpha * mlp(layer_norm[x, m, c]); shapes as in kernels::NodeUpdate -> (nodes, H).
Variable node_update(Tape& tape, const kernels::BlockTable& table, Variable node, Variable aggregate,
                     Variable condition, const NodeUpdateParameters& parameters, Variable alpha);

}  // namespace amend::op
