// feature_pool and network_features.

#include "kernels/feature_pool.hpp"

#include <cmath>
#include <limits>

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

TEST_CASE("cuda feature_pool: a feature of columns that are not there is NaN") {
  const RandomBatch batch = random_batch({{5, 3, 2}}, Activation::relu, DType::float32, 1);
  const Tensor offset = make_tensor({4}, DType::int32, {0, 3, 1, 9}), y({3, 2}, DType::float32),
               x = random_tensor({batch.table().node_count, 2}, DType::float32, 1);
  twins::feature_pool_forward(Twin::cuda, {.table = batch.table(), .x = x, .feature_offset = offset, .y = y});
  CHECK(std::isfinite(values(y)[0]));
  CHECK(std::isnan(values(y)[2]));
  CHECK(std::isnan(values(y)[4]));
}

TEST_CASE("cuda network_features: what is not a number stays so, on the CPU, too") {
  const Tensor divergence({2}, DType::float64), requirement({2, 1}, DType::float64), lambda({2, 1}, DType::float64),
      feature({2, kernels::network_feature_count(1)}, DType::float64), reference({2}, DType::float64);
  divergence.as<double>()[0] = requirement.as<double>()[1] = std::numeric_limits<double>::quiet_NaN();
  lambda.as<double>()[0] = lambda.as<double>()[1] = 0.5;
  for (const Twin twin : {Twin::cpu, Twin::cuda}) {
    twins::network_features(twin, {.divergence = divergence,
                                   .requirement = requirement,
                                   .lambda = lambda,
                                   .pass = 1,
                                   .feature = feature,
                                   .reference = reference});
    const std::vector<double> f = values(feature);
    const std::size_t value = 1 + kernels::kPassFlags;
    CHECK(std::isnan(f[0]));
    CHECK(f[value] == 0.0);
    CHECK(std::isnan(f[f.size() / 2 + value]));
    CHECK(std::isfinite(f[f.size() / 2]));
  }
}

}  // namespace
}  // namespace amend::test
