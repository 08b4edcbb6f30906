#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// Soft positive rates of two-class networks over cells of rows, a cell being a group under a condition (say, label 1):
/// rates[b, c] = mean over the rows of cell c of sigmoid((z_1 - z_0) / temperature).
/// Throws Error for other than two classes, for a cell id outside -1 .. cells - 1, and for an empty cell, which it
/// names.
struct GroupRates {
  TensorView logits;   // (networks, rows, 2)
  TensorView cell;     // (rows) int32: cell id, or -1 for a row that enters no rate
  int cells;           // number of cells
  double temperature;  // > 0
  TensorView rates;    // (networks, cells)
};
AMEND_DECLARE_KERNEL(group_rates_forward, GroupRates)

/// Adds to grad_logits.
struct GroupRatesGradient {
  GroupRates forward;
  TensorView grad_rates;   // (networks, cells)
  TensorView grad_logits;  // (networks, rows, 2)
};
AMEND_DECLARE_KERNEL(group_rates_backward, GroupRatesGradient)

}  // namespace amend::kernels
