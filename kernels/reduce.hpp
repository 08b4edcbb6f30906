#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// y = sum of weight[i] * x[i] over all elements: one number.
struct WeightedSum {
  TensorView x;       // (n)
  TensorView weight;  // (n), no gradient
  TensorView y;       // (1)
};
AMEND_DECLARE_KERNEL(weighted_sum_forward, WeightedSum)

/// Adds grad_y * weight to grad_x.
struct WeightedSumGradient {
  WeightedSum forward;
  TensorView grad_y;  // (1)
  TensorView grad_x;  // (n)
};
AMEND_DECLARE_KERNEL(weighted_sum_backward, WeightedSumGradient)

/// y[s] = mean of the rows of segment s; 0 when it has none.
struct SegmentMean {
  TensorView x;  // (rows, width)
  Segments segments;
  TensorView y;  // (segments, width)
};
AMEND_DECLARE_KERNEL(segment_mean_forward, SegmentMean)

/// Adds grad_y[s] / (rows of s) to grad_x.
struct SegmentMeanGradient {
  SegmentMean forward;
  TensorView grad_y;  // (segments, width)
  TensorView grad_x;  // (rows, width)
};
AMEND_DECLARE_KERNEL(segment_mean_backward, SegmentMeanGradient)

/// y[row] = x[row] + term[segment of row].
struct SegmentAdd {
  TensorView x;     // (rows, width)
  TensorView term;  // (segments, width)
  Segments segments;
  TensorView y;  // (rows, width)
};
AMEND_DECLARE_KERNEL(segment_add_forward, SegmentAdd)

/// Adds grad_y to grad_x and its segment sums to grad_term.
struct SegmentAddGradient {
  SegmentAdd forward;
  TensorView grad_y;     // (rows, width)
  TensorView grad_x;     // (rows, width), optional
  TensorView grad_term;  // (segments, width), optional
};
AMEND_DECLARE_KERNEL(segment_add_backward, SegmentAddGradient)

}  // namespace amend::kernels
