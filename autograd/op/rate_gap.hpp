#pragma once

#include "autograd/tape.hpp"
#include "kernels/rate_gap.hpp"

namespace amend::op {

/// Sum over conditions of the mean over pairs of groups of the smooth absolute difference of their rates.
/// rates (networks, conditions * groups) -> (networks).
Variable rate_gap(Tape& tape, Variable rates, int conditions, int groups, double epsilon);

}  // namespace amend::op
