#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// y = x weight^T + bias, row by row.
struct Linear {
  TensorView x;       // (rows, in)
  TensorView weight;  // (out, in)
  TensorView bias;    // (out), optional
  TensorView y;       // (rows, out)
  Segments segments;  // of the rows
};
AMEND_DECLARE_KERNEL(linear_forward, Linear)

/// Adds to grad_x = grad_y weight, grad_weight = grad_y^T x, grad_bias = column sums of grad_y. Absent ones are
/// skipped.
struct LinearGradient {
  Linear forward;
  TensorView grad_y;       // (rows, out)
  TensorView grad_x;       // (rows, in), optional
  TensorView grad_weight;  // (out, in), optional
  TensorView grad_bias;    // (out), optional
};
AMEND_DECLARE_KERNEL(linear_backward, LinearGradient)

}  // namespace amend::kernels
