#pragma once

#include "autograd/tape.hpp"
#include "kernels/subject_forward.hpp"

namespace amend::op {

/// Logits with what the probe needs of the same pass. The memory is the tape's.
struct SubjectPass {
  Variable logits;        // (networks, rows, classes)
  TensorView activation;  // (hidden_count, rows), layout of kernels::SubjectForward; absent when nothing is recorded
  TensorView slope;       // (hidden_count, rows)
};

/// B different networks over one data batch. weight (edges), bias (nodes), x (data_rows, inputs), row_index
/// (networks, rows) int32 or absent. With `keep_activation` activation and slope are stored even when no gradient
/// needs them. x_id: see kernels::SubjectForward.
SubjectPass subject_forward(Tape& tape, const kernels::BlockTable& table, Variable weight, Variable bias,
                            const TensorView& x, const TensorView& row_index = {}, bool keep_activation = false,
                            std::uint64_t x_id = 0);

}  // namespace amend::op
