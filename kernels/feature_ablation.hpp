#pragma once

#include "kernels/block_table.hpp"

// No tape rule: features of the network, taken as constants.

namespace amend::kernels {

/// What each input feature is worth to each network, measured: the Jensen-Shannon divergence (nats, mean over rows
/// [0, n)) from `logits` of the predictions with the feature changed. A second-order estimate misjudges features whose
/// distribution has a long tail.
///
/// An open feature is taken away: `deviation` comes off its inputs. With x - mean as the deviation it is replaced by
/// its mean, with feature_deviation's by what the other features predict of it. A closed feature (gate at most 1/2)
/// comes back: closed_weight reads of its inputs what the open ones do not predict, deviation_j - sum_k beta_jk
/// deviation_k.
struct FeatureAblation {
  BlockTable table;
  TensorView weight;         // (edges)
  TensorView bias;           // (nodes)
  TensorView x;              // (rows, inputs)
  std::uint64_t x_id = 0;    // see SubjectForward
  TensorView logits;         // (networks, rows, classes): what predictions are compared with
  TensorView deviation;      // (inputs, n), n in 1 .. rows
  TensorView feature_gate;   // (networks, features), optional: all open; with it the next two
  TensorView closed_weight;  // (edges)
  TensorView beta;           // (networks, inputs, inputs), see FeatureFold
  TensorView
      feature_offset;     // (features + 1) int32: feature f is columns feature_offset[f] .. feature_offset[f + 1] - 1
  TensorView divergence;  // out (networks, features)
};
AMEND_DECLARE_KERNEL(feature_ablation, FeatureAblation)

/// Turns the divergence with each feature changed into what having it open saves: value - divergence where it is open,
/// divergence - value where it is closed; times the network's coefficient, if any.
struct FeatureValue {
  TensorView gate;         // (networks, features)
  TensorView divergence;   // (networks): with no feature changed
  TensorView coefficient;  // (networks), optional: 1
  TensorView value;        // in and out (networks, features)
};
AMEND_DECLARE_KERNEL(feature_value, FeatureValue)

}  // namespace amend::kernels
