#pragma once

#include "kernels/block_table.hpp"

// No tape rule: features of the network, taken as constants.

namespace amend::kernels {

/// What one forward and one backward pass of each subject network over shared rows say about its parameters. p are the
/// class probabilities, pre_i what enters neuron i, a_j the activation of source neuron j with mean mu_j over the
/// statistic rows. Outputs that are absent are skipped; the others are overwritten.
struct Probe {
  BlockTable table;
  TensorView weight;            // (edges)
  TensorView x;                 // (rows, inputs)
  std::uint64_t x_id = 0;       // see SubjectForward
  TensorView activation;        // (hidden_count, rows), from subject_forward over all rows of x
  TensorView slope;             // (hidden_count, rows)
  TensorView logits;            // (networks, rows, classes), classes >= 2
  std::int64_t statistic_rows;  // 1 .. rows: rows [0, n) enter everything but the gradients, which take all rows
  TensorView grad_logits;       // (objectives, networks, rows, classes), optional
  TensorView fisher;            // (edges): mean_rows[ sum_c p_c (d log p_c / d pre_i)^2 (a_j - mu_j)^2 ]
  TensorView fisher_bias;       // (nodes): mean_rows[ sum_c p_c (d log p_c / d pre_i)^2 ], 0 at inputs
  TensorView node_mean;         // (nodes): of x at inputs, of the activation, of the logits at outputs
  TensorView node_rms;          // (nodes)
  TensorView node_correlation;  // (nodes): with the margin z_1 - z_0 (more classes: largest logit minus the second
                                // largest); 0 where either is constant
  TensorView gradient;          // (objectives, edges), needs grad_logits
  TensorView gradient_bias;     // (objectives, nodes), needs grad_logits; 0 at inputs
  TensorView
      feature_offset;  // (features + 1) int32: feature f is columns feature_offset[f] .. feature_offset[f + 1] - 1
  TensorView feature_saliency;  // (networks, features), needs feature_offset: second-order divergence of replacing a
                                // feature by its mean, mean_rows[ sum_c p_c (sum_{j of the feature} (x_j - mu_j) d log
                                // p_c / d x_j)^2 ] / 8
};
AMEND_DECLARE_KERNEL(probe, Probe)

}  // namespace amend::kernels
