#pragma once

#include <array>

#include "autograd/tape.hpp"
#include "metanet/graph/graph_batch.hpp"
#include "metanet/model/requirement.hpp"

namespace amend {

/// What one forward and one backward pass of a batch of networks says about their parameters; see kernels::Probe. The
/// memory is the arena's that it was made in.
struct BatchProbe {
  TensorView logits;            // (networks, rows, classes)
  TensorView fisher;            // (edges)
  TensorView fisher_bias;       // (nodes)
  TensorView mean;              // (nodes)
  TensorView rms;               // (nodes)
  TensorView correlation;       // (nodes)
  TensorView gradient;          // (objectives, edges), optional
  TensorView gradient_bias;     // (objectives, nodes), optional
  TensorView feature_saliency;  // (networks, features), optional: divergence of replacing a feature by its mean
  TensorView unique_saliency;   // (networks, features), optional: by what the other features predict of it
  TensorView feature_value;     // (networks, features), optional: see kernels::FeatureGateFeatures
  TensorView divergence;        // (networks), with original logits
  TensorView requirement;       // (networks, requirements): value of each that reads groups, 0 of the others

  std::array<TensorView*, 13> tensors() {
    return {&logits,        &fisher,           &fisher_bias,     &mean,          &rms,        &correlation, &gradient,
            &gradient_bias, &feature_saliency, &unique_saliency, &feature_value, &divergence, &requirement};
  }
};

static_assert(sizeof(BatchProbe) == 13 * sizeof(TensorView), "`tensors` must name every member");

struct ProbeOptions {
  const RowBatch* rows = nullptr;
  TensorView feature_offset;   // (features + 1) int32: asks for both saliencies, or for feature_value
  TensorView original_logits;  // (networks, rows, classes): asks for the gradient of the divergence from them
  const Requirements* requirements = nullptr;
  TensorView lambda;  // (networks, requirements): asks for the gradient of sum_r lambda_r R_r over
                      // the requirements that read groups
  // An edited network with feature gates: feature_value instead of the saliencies, with original_logits.
  TensorView feature_gate;     // (networks, features)
  TensorView original_weight;  // (edges)
  TensorView beta;             // (networks, inputs, inputs), see kernels::FeatureFold
};

/// Fills in the deviations of `rows`, in memory of `arena`: once for all networks. unique: see EditorData; without it
/// unique_deviation stays absent, which only a first probe needs.
void add_deviations(RowBatch& rows, const TensorView& unique, Arena& arena, Stream stream);

/// Probes networks given by weight (edges) and bias (nodes). The objectives of the gradient are the divergence, if
/// asked for, and then the requirements on groups, if there are any. `inner` is a tape on the same arena with nothing
/// recorded; it is used for the gradients with respect to logits. On the CPU, when `tape` is not recording, only the
/// result stays allocated.
BatchProbe probe_networks(Tape& tape, Tape& inner, const kernels::BlockTable& table, const TensorView& weight,
                          const TensorView& bias, const ProbeOptions& options);

/// The probe of networks that were run on no row at all: zeros for everything that an editor reads, with `objectives`
/// gradients, `features` features and `requirements` requirements; the rest is absent.
BatchProbe blank_probe(Tape& tape, const kernels::BlockTable& table, DType dtype, std::int64_t objectives,
                       std::int64_t features, std::int64_t requirements);

}  // namespace amend
