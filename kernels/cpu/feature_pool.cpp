// y = mean over the input nodes of a feature, a network a task. Bytes: input nodes once. Operations: one addition each.
#include "kernels/feature_pool.hpp"

#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

void validate(const FeaturePool& a) {
  const std::int64_t features = a.feature_offset.extent(0) - 1;
  check(features >= 1, "feature_pool", "expected at least one feature");
  expect("feature_pool", "x", a.x, {a.table.node_count, a.x.extent(1)}, a.x.dtype);
  expect("feature_pool", "feature_offset", a.feature_offset, {features + 1}, DType::int32);
  expect("feature_pool", "y", a.y, {a.table.network_count * features, a.x.extent(1)}, a.x.dtype);
}

/// Calls `body(first element of an input node, first element of its feature's row, inputs of the feature)`.
template <class Body>
void for_inputs(const FeaturePool& a, const Body& body) {
  const std::int64_t features = a.feature_offset.extent(0) - 1, width = a.x.extent(1);
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  parallel_for(a.table.network_count, [&](std::int64_t n) {
    for (std::int64_t f = 0; f < features; ++f)
      for (std::int64_t j = offset[f]; j < offset[f + 1]; ++j)
        body((a.table.network[n].node_offset + j) * width, (n * features + f) * width, offset[f + 1] - offset[f]);
  });
}

}  // namespace

void feature_pool_forward(const FeaturePool& args, Stream) {
  validate(args);
  dispatch_float("feature_pool", args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* x = args.x.as<T>();
    T* y = args.y.as<T>();
    std::fill_n(y, args.y.count(), T(0));
    for_inputs(args, [&](std::int64_t node, std::int64_t row, std::int32_t count) {
      for (std::int64_t i = 0; i < args.x.extent(1); ++i) y[row + i] += x[node + i] / static_cast<T>(count);
    });
  });
}

void feature_pool_backward(const FeaturePoolGradient& args, Stream) {
  validate(args.forward);
  expect("feature_pool", "grad_y", args.grad_y, args.forward.y.shape, args.forward.x.dtype);
  expect("feature_pool", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  dispatch_float("feature_pool", args.forward.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* grad_y = args.grad_y.as<T>();
    T* grad_x = args.grad_x.as<T>();
    for_inputs(args.forward, [&](std::int64_t node, std::int64_t row, std::int32_t count) {
      for (std::int64_t i = 0; i < args.forward.x.extent(1); ++i)
        grad_x[node + i] += grad_y[row + i] / static_cast<T>(count);
    });
  });
}

}  // namespace amend::kernels::cpu
