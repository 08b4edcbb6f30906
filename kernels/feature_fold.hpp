#pragma once

#include "kernels/block_table.hpp"

namespace amend::kernels {

/// Ridge of the regressions, as a share of the mean variance: rare levels of a category borrow nothing from noise.
inline constexpr double kFoldRidge = 1e-3;

/// What closed features contributed, as far as the open ones predict it, goes into the weights of the open ones. With K
/// the inputs of open and R those of closed features among the inputs that a network reads, and Sigma their covariance:
///
///   beta = Sigma_RK (Sigma_KK + ridge)^-1        base_ik = w_ik + sum_{r in R} (1 - M_r) w_ir beta_rk
///
/// on the first block; on the others base = w, and a weight that is exactly 0 stays 0. Bias folding is the same with
/// the mean alone: this is replacement by the conditional expectation, to first order.
struct FeatureFold {
  BlockTable table;
  TensorView weight;          // (edges)
  TensorView feature_gate;    // (networks, features): M, 0 .. 1; open above 1/2
  TensorView feature_offset;  // (features + 1) int32
  TensorView covariance;      // (inputs, inputs) float64
  TensorView beta;            // out (networks, inputs, inputs): row r, column k; 0 elsewhere
  TensorView base;            // out (edges)
};
AMEND_DECLARE_KERNEL(feature_fold_forward, FeatureFold)

/// Adds to grad_feature_gate what the sum over closed inputs implies; beta counts as constant.
struct FeatureFoldGradient {
  FeatureFold forward;
  TensorView grad_base;          // (edges)
  TensorView grad_feature_gate;  // (networks, features)
};
AMEND_DECLARE_KERNEL(feature_fold_backward, FeatureFoldGradient)

/// What replacing a feature takes off its inputs, for FeatureAblation: (C x) centred over the rows. With C the identity
/// the feature is replaced by its mean, with C = I - regression on the inputs of all other features by their
/// prediction.
struct FeatureDeviation {
  TensorView x;          // (rows, inputs)
  TensorView unique;     // (inputs, inputs): C, optional: the identity
  TensorView deviation;  // out (inputs, count): of the first `count` rows
};
AMEND_DECLARE_KERNEL(feature_deviation, FeatureDeviation)

}  // namespace amend::kernels
