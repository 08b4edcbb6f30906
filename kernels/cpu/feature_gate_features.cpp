// Features of the gates of whole input features, a network a task. Bytes: the first block's weights and gradients once.
#include <cmath>

#include "kernels/cpu/tile.hpp"
#include "kernels/feature_math.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
void features_of_network(const FeatureGateFeatures& a, std::int64_t n) {
  const std::int64_t features = a.saliency.extent(1);
  const bool refining = static_cast<bool>(a.gradient);
  const Block& block = a.table.block[a.table.network[n].first_block];
  const std::int32_t* of = a.input_feature.as<std::int32_t>();
  const T* saliency = a.saliency.as<T>() + n * features;
  T* feature = a.feature.as<T>() + n * features * kFeatureGateFeatures;
  T* prior = a.prior.as<T>() + n * features;
  const T lambda = at_least(a.lambda.as<T>()[n], T(1e-8)), count = static_cast<T>(features);
  T mean = 0;
  for (std::int64_t f = 0; f < features; ++f) mean += saliency[f];
  mean = mean / count + T(1e-9);
  for (std::int64_t f = 0; f < features; ++f) {
    const std::int64_t at = n * features + f;
    T* out = feature + f * kFeatureGateFeatures;
    prior[f] = gate_features(FeatureMeasurement<T>{.saliency = saliency[f],
                                                   .unique_saliency = a.unique_saliency.as<T>()[at],
                                                   .mean_saliency = mean,
                                                   .count = count,
                                                   .lambda = lambda,
                                                   .refining = refining,
                                                   .value = refining ? a.value.as<T>()[at] : T(0),
                                                   .logit = refining ? a.logit.as<T>()[at] : T(0),
                                                   .open = refining && a.feature_gate.as<T>()[at] > T(0.5)},
                             out);
    out[5] = T(0);
    out[6] = T(0);
  }
  for (std::int64_t j = 0; j < block.cols; ++j) {
    T* out = feature + of[j] * kFeatureGateFeatures;
    out[6] += T(1);
    if (!refining) continue;
    const T *weight = a.weight.as<T>() + block.edge_offset, *gradient = a.gradient.as<T>() + block.edge_offset;
    for (std::int64_t i = 0; i < block.rows; ++i) out[5] -= gradient[i * block.cols + j] * weight[i * block.cols + j];
  }
  for (std::int64_t f = 0; f < features; ++f) {
    T* out = feature + f * kFeatureGateFeatures;
    gate_features_of_inputs(out[5], out[6], count, lambda, out);
  }
}

}  // namespace

void feature_gate_features(const FeatureGateFeatures& args, Stream) {
  const std::int64_t networks = args.table.network_count, features = args.saliency.extent(1);
  const DType dtype = args.saliency.dtype;
  expect("feature_gate_features", "saliency", args.saliency, {networks, features}, dtype);
  expect("feature_gate_features", "unique_saliency", args.unique_saliency, {networks, features}, dtype);
  expect("feature_gate_features", "lambda", args.lambda, {networks}, dtype);
  expect("feature_gate_features", "feature", args.feature, {networks * features, kFeatureGateFeatures}, dtype);
  expect("feature_gate_features", "prior", args.prior, {networks * features}, dtype);
  if (args.gradient) {
    expect("feature_gate_features", "weight", args.weight, {args.table.edge_count}, dtype);
    expect("feature_gate_features", "gradient", args.gradient, {args.table.edge_count}, dtype);
    expect("feature_gate_features", "value", args.value, args.saliency.shape, dtype);
    expect("feature_gate_features", "feature_gate", args.feature_gate, args.saliency.shape, dtype);
    expect("feature_gate_features", "logit", args.logit, args.prior.shape, dtype);
  }
  dispatch_float("feature_gate_features", dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for(networks, [&](std::int64_t n) { features_of_network<T>(args, n); });
  });
}

}  // namespace amend::kernels::cpu
