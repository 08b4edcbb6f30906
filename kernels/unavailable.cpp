// The CUDA twins of a build without CUDA: callers link, and a call says what is missing.
#ifndef AMEND_CUDA_KERNELS

#include "kernels/adamw.hpp"
#include "kernels/apply_edit.hpp"
#include "kernels/column.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/divergence.hpp"
#include "kernels/edge_update.hpp"
#include "kernels/edit_features.hpp"
#include "kernels/edit_head.hpp"
#include "kernels/edit_step.hpp"
#include "kernels/embedding.hpp"
#include "kernels/feature_ablation.hpp"
#include "kernels/feature_fold.hpp"
#include "kernels/feature_pool.hpp"
#include "kernels/fill.hpp"
#include "kernels/gate.hpp"
#include "kernels/group_rates.hpp"
#include "kernels/linear.hpp"
#include "kernels/network_features.hpp"
#include "kernels/node_update.hpp"
#include "kernels/pointwise.hpp"
#include "kernels/probe.hpp"
#include "kernels/rate_gap.hpp"
#include "kernels/reduce.hpp"
#include "kernels/subject_forward.hpp"

namespace amend::kernels::cuda {

#define AMEND_UNAVAILABLE(name, Args) \
  void name(const Args&, Stream) { fail(#name, "this build of amend has no CUDA twin of this kernel"); }

AMEND_UNAVAILABLE(gradient_norm, GradientNorm)
AMEND_UNAVAILABLE(adamw, AdamW)
AMEND_UNAVAILABLE(apply_edit_forward, ApplyEdit)
AMEND_UNAVAILABLE(apply_edit_backward, ApplyEditGradient)
AMEND_UNAVAILABLE(node_gate_forward, NodeGate)
AMEND_UNAVAILABLE(node_gate_backward, NodeGateGradient)
AMEND_UNAVAILABLE(hidden_rows_forward, HiddenRows)
AMEND_UNAVAILABLE(hidden_rows_backward, HiddenRowsGradient)
AMEND_UNAVAILABLE(read_column, Column)
AMEND_UNAVAILABLE(write_column, Column)
AMEND_UNAVAILABLE(cross_entropy_forward, CrossEntropy)
AMEND_UNAVAILABLE(cross_entropy_backward, CrossEntropyGradient)
AMEND_UNAVAILABLE(divergence_forward, Divergence)
AMEND_UNAVAILABLE(divergence_backward, DivergenceGradient)
AMEND_UNAVAILABLE(edge_update_forward, EdgeUpdate)
AMEND_UNAVAILABLE(edge_update_backward, EdgeUpdateGradient)
AMEND_UNAVAILABLE(edit_features, EditFeatures)
AMEND_UNAVAILABLE(refine_features, RefineFeatures)
AMEND_UNAVAILABLE(feature_gate_features, FeatureGateFeatures)
AMEND_UNAVAILABLE(edit_head_forward, EditHead)
AMEND_UNAVAILABLE(edit_head_backward, EditHeadGradient)
AMEND_UNAVAILABLE(edit_step_forward, EditStep)
AMEND_UNAVAILABLE(edit_step_backward, EditStepGradient)
AMEND_UNAVAILABLE(embedding_add_forward, EmbeddingAdd)
AMEND_UNAVAILABLE(embedding_add_backward, EmbeddingAddGradient)
AMEND_UNAVAILABLE(feature_pool_forward, FeaturePool)
AMEND_UNAVAILABLE(feature_pool_backward, FeaturePoolGradient)
AMEND_UNAVAILABLE(fill, Fill)
AMEND_UNAVAILABLE(modulation_start, ModulationStart)
AMEND_UNAVAILABLE(feature_fold_forward, FeatureFold)
AMEND_UNAVAILABLE(feature_fold_backward, FeatureFoldGradient)
AMEND_UNAVAILABLE(feature_ablation, FeatureAblation)
AMEND_UNAVAILABLE(feature_value, FeatureValue)
AMEND_UNAVAILABLE(feature_deviation, FeatureDeviation)
AMEND_UNAVAILABLE(accumulate, Accumulate)
AMEND_UNAVAILABLE(gate_forward, Gate)
AMEND_UNAVAILABLE(gate_backward, GateGradient)
AMEND_UNAVAILABLE(logistic_noise, LogisticNoise)
AMEND_UNAVAILABLE(group_rates_forward, GroupRates)
AMEND_UNAVAILABLE(group_rates_backward, GroupRatesGradient)
AMEND_UNAVAILABLE(linear_forward, Linear)
AMEND_UNAVAILABLE(linear_backward, LinearGradient)
AMEND_UNAVAILABLE(network_features, NetworkFeatures)
AMEND_UNAVAILABLE(node_update_forward, NodeUpdate)
AMEND_UNAVAILABLE(node_update_backward, NodeUpdateGradient)
AMEND_UNAVAILABLE(pointwise_forward, Pointwise)
AMEND_UNAVAILABLE(pointwise_backward, PointwiseGradient)
AMEND_UNAVAILABLE(probe, Probe)
AMEND_UNAVAILABLE(rate_gap_forward, RateGap)
AMEND_UNAVAILABLE(rate_gap_backward, RateGapGradient)
AMEND_UNAVAILABLE(weighted_sum_forward, WeightedSum)
AMEND_UNAVAILABLE(weighted_sum_backward, WeightedSumGradient)
AMEND_UNAVAILABLE(segment_mean_forward, SegmentMean)
AMEND_UNAVAILABLE(segment_mean_backward, SegmentMeanGradient)
AMEND_UNAVAILABLE(segment_add_forward, SegmentAdd)
AMEND_UNAVAILABLE(segment_add_backward, SegmentAddGradient)
AMEND_UNAVAILABLE(subject_forward, SubjectForward)
AMEND_UNAVAILABLE(subject_backward, SubjectForwardGradient)

#undef AMEND_UNAVAILABLE

}  // namespace amend::kernels::cuda

#endif
