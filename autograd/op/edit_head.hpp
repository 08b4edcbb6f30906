#pragma once

#include "autograd/tape.hpp"
#include "kernels/edit_head.hpp"

namespace amend::op {

/// What an edit head reads of every edge: one of the two.
struct EdgeVariable {
  Variable rows;
  kernels::EdgeInput features;  // constants

  kernels::EdgeInput value() const { return rows ? kernels::EdgeInput{.rows = rows.value()} : features; }
};

/// What an edit head reads and owns; shapes as in kernels::EditHead.
struct EditHeadInputs {
  EdgeVariable edge;
  Variable weight;
  EdgeVariable edge2;  // optional
  Variable weight2;    // with edge2
  Variable projection;
  Variable kind_bias;
  Variable mix;  // optional
  Variable head, head_bias;
};

/// A small network for every weight -> (edges, outputs).
Variable edit_head(Tape& tape, const kernels::BlockTable& table, const EditHeadInputs& inputs);

}  // namespace amend::op
