// Features of the gates of whole input features, a network a task. Bytes: the first block's weights and gradients once.
#include <cmath>

#include "kernels/cpu/tile.hpp"
#include "kernels/edit_features.hpp"
#include "kernels/math.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
T clamp(T value, T bound) {
  return value > bound ? bound : (value < -bound ? -bound : value);
}

template <class T>
void features_of_network(const FeatureGateFeatures& a, std::int64_t n) {
  const std::int64_t features = a.saliency.extent(1);
  const bool refining = static_cast<bool>(a.gradient);
  const Block& block = a.table.block[a.table.network[n].first_block];
  const std::int32_t* of = a.input_feature.as<std::int32_t>();
  const T* saliency = a.saliency.as<T>() + n * features;
  T* feature = a.feature.as<T>() + n * features * kFeatureGateFeatures;
  T* prior = a.prior.as<T>() + n * features;
  const T lambda = std::max(a.lambda.as<T>()[n], T(1e-8)), count = static_cast<T>(features);
  T mean = 0;
  for (std::int64_t f = 0; f < features; ++f) mean += saliency[f];
  mean = mean / count + T(1e-9);
  for (std::int64_t f = 0; f < features; ++f) {
    T* out = feature + f * kFeatureGateFeatures;
    const T log_saliency = logarithm(saliency[f] * count + T(1e-6));
    const T log_unique = logarithm(a.unique_saliency.as<T>()[n * features + f] * count + T(1e-6));
    prior[f] = clamp((log_saliency + log_unique) / T(2) - logarithm(lambda), T(8));
    out[0] = log_saliency / T(3) + T(1);
    out[1] = prior[f] / T(3);
    out[2] = logarithm(saliency[f] / mean + T(1e-4)) / T(3);
    out[3] = refining ? clamp(a.logit.as<T>()[n * features + f], T(6)) / T(3) : T(0);
    out[4] = T(0);
    out[5] = T(0);
    out[6] = T(0);
    out[7] = refining ? T(1) : T(0);
    out[8] = log_unique / T(3) + T(1);
    out[9] = clamp(log_unique - logarithm(lambda), T(8)) / T(3);
    out[10] = T(0);
    out[11] = T(0);
    if (!refining) continue;
    const T log_value = logarithm(std::max(a.value.as<T>()[n * features + f], T(0)) * count + T(1e-6));
    prior[f] = clamp(log_value - logarithm(lambda), T(8));
    out[4] = log_value / T(3) + T(1);
    out[10] = prior[f] / T(3);
    out[11] = a.feature_gate.as<T>()[n * features + f] > T(0.5) ? T(1) : T(-1);
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
    out[5] = signed_logarithm(out[5] * count / lambda);
    out[6] = logarithm(out[6] + T(1)) / T(2);
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
