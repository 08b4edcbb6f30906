#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// How far apart the rates of the groups are: the sum over conditions of the mean over pairs of groups of
/// sqrt(d^2 + epsilon^2) - epsilon, a smooth |d|, d being the difference of the two rates.
struct RateGap {
  TensorView rates;  // (networks, conditions * groups), cell = condition * groups + group
  int conditions;
  int groups;      // at least 2
  double epsilon;  // > 0
  TensorView gap;  // (networks)
};
AMEND_DECLARE_KERNEL(rate_gap_forward, RateGap)

/// Adds to grad_rates.
struct RateGapGradient {
  RateGap forward;
  TensorView grad_gap;    // (networks)
  TensorView grad_rates;  // (networks, conditions * groups)
};
AMEND_DECLARE_KERNEL(rate_gap_backward, RateGapGradient)

}  // namespace amend::kernels
