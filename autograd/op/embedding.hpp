#pragma once

#include "autograd/tape.hpp"
#include "kernels/embedding.hpp"

namespace amend::op {

/// x[row] + table[index[row]]: x (rows, width), table (entries, width), index (rows) int32, -1 adds nothing.
Variable embedding_add(Tape& tape, Variable x, Variable table, const TensorView& index);

}  // namespace amend::op
