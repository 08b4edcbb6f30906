#pragma once

#include "kernels/block_table.hpp"

namespace amend::kernels {

/// From input neurons to features: y[network * features + f] = mean of x over the input nodes of feature f.
struct FeaturePool {
  BlockTable table;
  TensorView x;  // (nodes, width)
  TensorView
      feature_offset;  // (features + 1) int32: feature f is inputs feature_offset[f] .. feature_offset[f + 1] - 1
  TensorView y;        // (networks * features, width)
};
AMEND_DECLARE_KERNEL(feature_pool_forward, FeaturePool)

/// Adds grad_y / (inputs of the feature) to the input nodes of grad_x.
struct FeaturePoolGradient {
  FeaturePool forward;
  TensorView grad_y;  // (networks * features, width)
  TensorView grad_x;  // (nodes, width)
};
AMEND_DECLARE_KERNEL(feature_pool_backward, FeaturePoolGradient)

}  // namespace amend::kernels
