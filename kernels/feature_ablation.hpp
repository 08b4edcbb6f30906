#pragma once

#include "kernels/block_table.hpp"

// No tape rule: features of the network, taken as constants.

namespace amend::kernels {

/// What each input feature is worth to each network, measured: the Jensen-Shannon divergence (nats, mean over rows
/// [0, n)) between the network's predictions and those it makes when `deviation` is taken off the inputs of the feature.
/// With x - mean as the deviation the feature is replaced by its mean, with feature_deviation's by what the other
/// features predict of it. A second-order estimate misjudges features whose distribution has a long tail.
struct FeatureAblation {
  BlockTable table;
  TensorView weight;          // (edges)
  TensorView bias;            // (nodes)
  TensorView x;               // (rows, inputs)
  TensorView logits;          // (networks, rows, classes), of the networks on x
  TensorView deviation;       // (inputs, n), n in 1 .. rows
  TensorView feature_offset;  // (features + 1) int32: feature f is columns feature_offset[f] .. feature_offset[f + 1] - 1
  TensorView divergence;      // out (networks, features); 0 where no weight reads the feature
};
AMEND_DECLARE_KERNEL(feature_ablation, FeatureAblation)

}  // namespace amend::kernels
