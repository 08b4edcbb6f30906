#pragma once

#include "kernels/edge_input.hpp"

// No tape rule: features describe the network and the probe, and are constants to the editor.

namespace amend::kernels {

inline constexpr std::int64_t kNodeFeatures = 16;

/// What the editor reads of every neuron at first (design: input features of nodes), what the features of weights are
/// held against, and the optimal-brain-damage prior of the gate logits, log(w^2 F n / 8) - log lambda clamped to +-8, n
/// the weights of the network (LeCun, Denker, Solla, *Optimal brain damage*, NIPS 1989, on the Fisher diagonal).
struct EditFeatures {
  BlockTable table;
  TensorView weight;         // (edges)
  TensorView bias;           // (nodes)
  TensorView fisher;         // (edges)
  TensorView fisher_bias;    // (nodes)
  TensorView mean;           // (nodes)
  TensorView rms;            // (nodes)
  TensorView correlation;    // (nodes)
  TensorView gradient;       // (edges), of the requirements on predictions; optional: 0
  TensorView gradient_bias;  // (nodes), optional: 0
  TensorView lambda;         // (networks), weight of the pruning requirement; optional: no prior
  TensorView neuron_lambda;  // (networks), weight of the neuron-pruning requirement; optional: no prior
  TensorView scale;          // out (blocks): rms of the block's weights + 1e-6
  TensorView edge_scales;    // out (blocks, kEdgeScales)
  TensorView energy;         // out (nodes): root of the sum of (w rms)^2 over what leads to a neuron; 0 at inputs
  TensorView node_feature;   // out (nodes, kNodeFeatures)
  TensorView prior;          // out (edges), with lambda
  TensorView neuron_prior;  // out (nodes), with neuron_lambda: the same of a neuron's outgoing weights together, with n
                            // the hidden neurons of the network; 0 at input and output nodes
};
AMEND_DECLARE_KERNEL(edit_features, EditFeatures)

/// Number of features of a neuron in the refinement passes for `objectives` gradients.
constexpr std::int64_t refine_node_features(std::int64_t objectives) { return 8 + 2 * objectives; }

/// What a refinement pass reads of every neuron: the edit so far, the probe of the edited network, and the gradients of
/// its divergence and of its requirements; and what the features of weights are held against. `step` is the diagonal
/// Newton move tanh(-4 G / (F + .3 mean F) / scale).
struct RefineFeatures {
  BlockTable table;
  TensorView edited_bias;           // (nodes)
  TensorView scale;                 // (blocks)
  TensorView bias_residual;         // (nodes), state
  TensorView fisher;                // (edges), of the edited network
  TensorView fisher_bias;           // (nodes)
  TensorView mean, rms;             // (nodes)
  TensorView correlation;           // (nodes)
  TensorView original_fisher_bias;  // (nodes), and of the original network:
  TensorView original_mean;         // (nodes)
  TensorView original_rms;          // (nodes)
  TensorView gradient;              // (objectives, edges)
  TensorView gradient_bias;         // (objectives, nodes)
  TensorView lambda;                // (networks): the weight that gradients are held against
  TensorView edge_scales;           // out (blocks, refine_edge_scales(objectives))
  TensorView edge_step;             // out (edges, objectives)
  TensorView node_feature;          // out (nodes, refine_node_features(objectives))
  TensorView node_step;             // out (nodes, objectives)
};
AMEND_DECLARE_KERNEL(refine_features, RefineFeatures)

inline constexpr std::int64_t kFeatureGateFeatures = 12;

/// What the gates of whole input features read: the divergence S of replacing the feature by its mean, the divergence U
/// of replacing it by what the other features predict of it, and in a refinement pass the logit so far, the gain
/// - d divergence / d gate, and the value V: the divergence of the edited network with the feature closed minus that
/// with it open, one of the two being as it stands.
struct FeatureGateFeatures {
  BlockTable table;
  TensorView input_feature;    // (inputs) int32, ascending: the feature an input column belongs to
  TensorView saliency;         // (networks, features): S of the original network
  TensorView unique_saliency;  // (networks, features): U
  TensorView lambda;           // (networks): weight of the data-minimisation requirement
  TensorView weight;           // (edges), original; the next three are given in refinement passes, together
  TensorView gradient;         // (edges), of the divergence with respect to the edited weights
  TensorView value;            // (networks, features): V
  TensorView feature_gate;     // (networks, features)
  TensorView logit;            // (networks * features), state
  TensorView feature;          // out (networks * features, kFeatureGateFeatures)
  TensorView prior;            // out (networks * features): log(sqrt(S U) n) - log lambda, n features, clamped to +-8;
                               // in a refinement pass log(max(V, 0) n) - log lambda
};
AMEND_DECLARE_KERNEL(feature_gate_features, FeatureGateFeatures)

}  // namespace amend::kernels
