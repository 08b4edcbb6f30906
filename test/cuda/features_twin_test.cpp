// feature_pool and network_features.

#include "kernels/feature_pool.hpp"
#include "kernels/network_features.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(feature_pool_forward, FeaturePool)
AMEND_TWINS(feature_pool_backward, FeaturePoolGradient)
AMEND_TWINS(network_features, NetworkFeatures)

namespace amend::test {
namespace {

TEST_CASE("cuda feature_pool") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool empty = GENERATE(false, true);
  const RandomBatch batch = random_batch(empty ? std::vector<std::vector<int>>{} : kRagged, Activation::relu, dtype, 1);
  const Tensor offset = make_tensor({4}, DType::int32, {0, 1, 4, 5});
  const std::int64_t nodes = batch.table().node_count, rows = batch.table().network_count * 3, width = 6;
  const Tensor x = random_tensor({nodes, width}, dtype, 1), grad_y = random_tensor({rows, width}, dtype, 2);
  compare_twins("feature_pool", [&](Twin twin) {
    const Tensor y = unset({rows, width}, dtype), grad_x = random_tensor({nodes, width}, dtype, 3);
    const kernels::FeaturePool forward{.table = batch.table(), .x = x, .feature_offset = offset, .y = y};
    twins::feature_pool_forward(twin, forward);
    twins::feature_pool_backward(twin, {.forward = forward, .grad_y = grad_y, .grad_x = grad_x});
    return std::vector<Tensor>{y, grad_x};
  });
}

TEST_CASE("cuda network_features") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int pass = GENERATE(1, 2);
  const std::int64_t networks = GENERATE(0, 300);
  const Tensor divergence = random_tensor({networks}, dtype, 1, 0.05, 0.05),
               requirement = random_tensor({networks, 2}, dtype, 2, 0.3, 0.3),
               lambda = random_tensor({networks, 2}, dtype, 3);
  compare_twins("network_features", [&](Twin twin) {
    const Tensor feature = unset({networks, kernels::network_feature_count(2)}, dtype),
                 reference = unset({networks}, dtype);
    twins::network_features(twin, {.divergence = divergence,
                                   .requirement = requirement,
                                   .lambda = lambda,
                                   .pass = pass,
                                   .feature = feature,
                                   .reference = reference});
    return std::vector<Tensor>{feature, reference};
  });
}

}  // namespace
}  // namespace amend::test
