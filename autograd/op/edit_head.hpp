#pragma once

#include "autograd/tape.hpp"
#include "kernels/edit_head.hpp"

namespace amend::op {

/// What an edit head reads and owns; shapes as in kernels::EditHead.
struct EditHeadInputs {
  Variable edge, weight;
  Variable edge2, weight2;  // optional
  Variable projection;
  Variable kind_bias;
  Variable mix;  // optional
  Variable head, head_bias;
};

/// A small network for every weight -> (edges, outputs).
Variable edit_head(Tape& tape, const kernels::BlockTable& table, const EditHeadInputs& inputs);

}  // namespace amend::op
