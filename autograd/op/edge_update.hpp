#pragma once

#include "autograd/tape.hpp"
#include "kernels/edge_update.hpp"

namespace amend::op {

struct EdgeUpdateResult {
  Variable edge;       // (edges, D)
  Variable aggregate;  // (nodes, 2 D): mean over sources at targets, mean over targets at sources
};

/// One fused message layer over all weights; shapes and precision as in kernels::EdgeUpdate.
EdgeUpdateResult edge_update(Tape& tape, const kernels::BlockTable& table, Variable edge, Variable projection,
                             Variable weight_c, Variable weight_g, Variable modulation,
                             kernels::Precision precision = kernels::Precision::float32);

}  // namespace amend::op
