// Features of the gates of whole input features, a thread block a network. Bytes: the first block's weights and
// gradients once. Operations: one multiply-add each, and some ten logarithms a feature.
#include "kernels/cuda/launch.cuh"
#include "kernels/feature_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr int kGateThreads = 128;

template <class T>
struct GateMeasurements {
  const Block* block;
  const Network* network;
  std::int64_t features, inputs;
  const std::int32_t* input_feature;
  const T *saliency, *unique_saliency, *lambda, *weight, *gradient, *value, *feature_gate, *logit;
  T *feature, *prior;
};

/// A thread an input: its column of -gradient * weight; then a thread a feature.
template <class T>
__global__ void __launch_bounds__(kGateThreads) gate_kernel(GateMeasurements<T> in) {
  T* gain = dynamic_shared_memory<T>();  // (inputs)
  const std::int64_t n = blockIdx.x;
  const Block block = in.block[in.network[n].first_block];
  for (std::int64_t j = threadIdx.x; in.gradient && j < block.cols; j += kGateThreads) {
    T sum = T(0);
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const std::int64_t k = block.edge_offset + i * block.cols + j;
      sum -= in.gradient[k] * in.weight[k];
    }
    gain[j] = sum;
  }
  __syncthreads();
  const T count = static_cast<T>(in.features), lambda = at_least(in.lambda[n], T(1e-8));
  T mean_saliency = T(0);
  for (std::int64_t f = 0; f < in.features; ++f) mean_saliency += in.saliency[n * in.features + f];
  mean_saliency = mean_saliency / count + T(1e-9);
  for (std::int64_t f = threadIdx.x; f < in.features; f += kGateThreads) {
    const std::int64_t at = n * in.features + f;
    T* out = in.feature + at * kFeatureGateFeatures;
    in.prior[at] = gate_features(FeatureMeasurement<T>{.saliency = in.saliency[at],
                                                       .unique_saliency = in.unique_saliency[at],
                                                       .mean_saliency = mean_saliency,
                                                       .count = count,
                                                       .lambda = lambda,
                                                       .refining = in.gradient != nullptr,
                                                       .value = in.gradient ? in.value[at] : T(0),
                                                       .logit = in.gradient ? in.logit[at] : T(0),
                                                       .open = in.gradient && in.feature_gate[at] > T(0.5)},
                                 out);
    T sum = T(0), inputs = T(0);
    for (std::int64_t j = 0; j < block.cols; ++j) {
      if (in.input_feature[j] != f) continue;
      inputs += T(1);
      if (in.gradient) sum += gain[j];
    }
    gate_features_of_inputs(sum, inputs, count, lambda, out);
  }
}

template <class T>
void gates(const FeatureGateFeatures& a, Stream stream) {
  const GateMeasurements<T> in{.block = a.table.block,
                               .network = a.table.network,
                               .features = a.saliency.extent(1),
                               .inputs = a.input_feature.extent(0),
                               .input_feature = a.input_feature.as<std::int32_t>(),
                               .saliency = a.saliency.as<T>(),
                               .unique_saliency = a.unique_saliency.as<T>(),
                               .lambda = a.lambda.as<T>(),
                               .weight = elements<T>(a.weight),
                               .gradient = elements<T>(a.gradient),
                               .value = elements<T>(a.value),
                               .feature_gate = elements<T>(a.feature_gate),
                               .logit = elements<T>(a.logit),
                               .feature = a.feature.as<T>(),
                               .prior = a.prior.as<T>()};
  launch(gate_kernel<T>, grid_of(a.table.network_count), dim3(kGateThreads),
         static_cast<std::size_t>(in.inputs) * sizeof(T), stream, in);
}

}  // namespace

void feature_gate_features(const FeatureGateFeatures& args, Stream stream) {
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
  dispatch_float("feature_gate_features", dtype, [&](auto zero) { gates<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
