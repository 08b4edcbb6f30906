#pragma once

#include "autograd/tape.hpp"
#include "kernels/group_rates.hpp"

namespace amend::op {

/// Mean of sigmoid((z_1 - z_0) / temperature) over the rows of every cell. logits (networks, rows, 2), cell (rows)
/// int32 with -1 for rows that enter none -> (networks, cells).
Variable group_rates(Tape& tape, Variable logits, const TensorView& cell, int cells, double temperature);

}  // namespace amend::op
