#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

enum class PointwiseOp : std::int32_t { relu, silu, tanh, sigmoid };

/// y = f(x), element by element.
struct Pointwise {
  PointwiseOp op = PointwiseOp::silu;
  TensorView x;
  TensorView y;  // shape of x
};
AMEND_DECLARE_KERNEL(pointwise_forward, Pointwise)

/// Adds grad_y * f'(x) to grad_x.
struct PointwiseGradient {
  Pointwise forward;
  TensorView grad_y;
  TensorView grad_x;
};
AMEND_DECLARE_KERNEL(pointwise_backward, PointwiseGradient)

}  // namespace amend::kernels
