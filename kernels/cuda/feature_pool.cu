// y = mean over the input nodes of a feature; a thread a feature and channel. Bytes: input nodes once. Operations: one
// addition each.
#include "kernels/feature_pool.hpp"

#include "kernels/cuda/feature_columns.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

struct Pool {
  const Network* network;
  const std::int32_t* offset;
  std::int64_t features, width;

  explicit Pool(const FeaturePool& a)
      : network(a.table.network),
        offset(a.feature_offset.as<std::int32_t>()),
        features(a.feature_offset.extent(0) - 1),
        width(a.x.extent(1)) {}

  /// Calls `body(element of an input node, inputs of the feature)` for the inputs that element i of y stands for; false
  /// where the feature's offsets make no sense.
  template <class Body>
  __device__ bool for_inputs(std::int64_t i, const Body& body) const {
    const std::int64_t row = i / width, n = row / features, f = row - n * features;
    const FeatureColumns columns(offset, static_cast<int>(f), network[n].inputs);
    for (std::int64_t j = columns.begin; j < columns.end; ++j)
      body((network[n].node_offset + j) * width + (i - row * width), columns.end - columns.begin);
    return columns.valid;
  }
};

template <class T>
void forward(const FeaturePool& a, Stream stream) {
  const Pool pool(a);
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  for_elements(a.y.count(), stream, [=] __device__(std::int64_t i) {
    T sum = T(0);
    std::int32_t inputs = 1;
    const bool valid = pool.for_inputs(i, [&](std::int64_t at, std::int32_t count) {
      sum += x[at];
      inputs = count;
    });
    y[i] = valid ? sum / static_cast<T>(inputs) : not_a_number<T>();
  });
}

template <class T>
void backward(const FeaturePoolGradient& g, Stream stream) {
  const Pool pool(g.forward);
  const T* grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x.as<T>();
  for_elements(g.grad_y.count(), stream, [=] __device__(std::int64_t i) {
    pool.for_inputs(i, [&](std::int64_t at, std::int32_t count) { grad_x[at] += grad_y[i] / static_cast<T>(count); });
  });
}

void validate(const FeaturePool& a) {
  const std::int64_t features = a.feature_offset.extent(0) - 1;
  check(features >= 1, "feature_pool", "expected at least one feature");
  expect("feature_pool", "x", a.x, {a.table.node_count, a.x.extent(1)}, a.x.dtype);
  expect("feature_pool", "feature_offset", a.feature_offset, {features + 1}, DType::int32);
  expect("feature_pool", "y", a.y, {a.table.network_count * features, a.x.extent(1)}, a.x.dtype);
}

}  // namespace

void feature_pool_forward(const FeaturePool& args, Stream stream) {
  validate(args);
  dispatch_float("feature_pool", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void feature_pool_backward(const FeaturePoolGradient& args, Stream stream) {
  validate(args.forward);
  expect("feature_pool", "grad_y", args.grad_y, args.forward.y.shape, args.forward.x.dtype);
  expect("feature_pool", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  dispatch_float("feature_pool", args.forward.x.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
