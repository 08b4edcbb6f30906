#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/edit_features.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

constexpr std::int64_t kFeatures = 3, kWidth = kernels::kFeatureGateFeatures;
const Tensor kFeatureOfInput = test::make_tensor({5}, DType::int32, {0, 1, 1, 1, 2});

struct Inputs {
  Tensor saliency, unique_saliency, lambda, weight, gradient, value, gate, logit;

  explicit Inputs(const test::RandomBatch& batch) : weight(test::convert(batch.weight, DType::float64)) {
    const std::int64_t networks = batch.table().network_count;
    const auto positive = [&](Shape shape, std::uint64_t seed, double scale) {
      const Tensor x = test::random_tensor(shape, DType::float64, seed, scale);
      for (std::int64_t i = 0; i < x.count(); ++i) x.as<double>()[i] = std::fabs(x.as<double>()[i]);
      return x;
    };
    saliency = positive({networks, kFeatures}, 1, 0.05);
    saliency.as<double>()[1] = 0.0;  // a feature that is not read
    unique_saliency = positive({networks, kFeatures}, 2, 0.02);
    lambda = positive({networks}, 3, 0.05);
    lambda.as<double>()[0] = 0.0;  // off
    gradient = test::random_tensor({batch.table().edge_count}, DType::float64, 4, 0.02);
    value = test::random_tensor({networks, kFeatures}, DType::float64, 5, 0.05);  // of either sign
    gate = Tensor({networks, kFeatures}, DType::float64);
    for (std::int64_t i = 0; i < gate.count(); ++i) gate.as<double>()[i] = i % 3 == 0 ? 0.0 : 1.0;
    logit = test::random_tensor({networks * kFeatures}, DType::float64, 6, 6.0);
  }
  Inputs as(DType dtype) const {
    Inputs result = *this;
    for (Tensor* x : {&result.saliency, &result.unique_saliency, &result.lambda, &result.weight, &result.gradient,
                      &result.value, &result.gate, &result.logit})
      *x = test::convert(*x, dtype);
    return result;
  }
};

/// feature, prior.
std::vector<Tensor> run(const kernels::BlockTable& table, const Inputs& in, bool refining) {
  const DType dtype = in.saliency.view().dtype;
  const std::int64_t rows = table.network_count * kFeatures;
  const std::vector<Tensor> out = {Tensor({rows, kWidth}, dtype), Tensor({rows}, dtype)};
  const auto when = [&](const Tensor& x) { return refining ? x.view() : TensorView{}; };
  kernels::feature_gate_features({.table = table,
                                  .input_feature = kFeatureOfInput,
                                  .saliency = in.saliency,
                                  .unique_saliency = in.unique_saliency,
                                  .lambda = in.lambda,
                                  .weight = when(in.weight),
                                  .gradient = when(in.gradient),
                                  .value = when(in.value),
                                  .feature_gate = when(in.gate),
                                  .logit = when(in.logit),
                                  .feature = out[0],
                                  .prior = out[1]},
                                 Stream{});
  return out;
}

double clamp(double x, double bound) { return std::min(std::max(x, -bound), bound); }

TEST_CASE("feature_gate_features agree with their definition") {
  const bool refining = GENERATE(false, true);
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const kernels::BlockTable& table = batch.table();
  const Inputs in(batch);
  std::vector<double> feature, prior;
  for (std::int64_t n = 0; n < table.network_count; ++n) {
    const double lambda = std::max(in.lambda.as<double>()[n], 1e-8);
    const double* saliency = in.saliency.as<double>() + n * kFeatures;
    const double mean = (saliency[0] + saliency[1] + saliency[2]) / 3 + 1e-9;
    const kernels::Block& block = table.block[table.network[n].first_block];
    for (std::int64_t f = 0; f < kFeatures; ++f) {
      const double s = std::log(3 * saliency[f] + 1e-6),
                   u = std::log(3 * in.unique_saliency.as<double>()[n * kFeatures + f] + 1e-6);
      double gain = 0.0, inputs = 0.0;
      for (std::int64_t j = 0; j < 5; ++j) {
        if (kFeatureOfInput.as<std::int32_t>()[j] != f) continue;
        inputs += 1.0;
        for (std::int64_t i = 0; i < block.rows; ++i) {
          const std::int64_t k = block.edge_offset + i * 5 + j;
          gain -= in.gradient.as<double>()[k] * in.weight.as<double>()[k];
        }
      }
      const double first = clamp((s + u) / 2 - std::log(lambda), 8);
      const double v = std::log(3 * std::max(in.value.as<double>()[n * kFeatures + f], 0.0) + 1e-6);
      const double measured = clamp(v - std::log(lambda), 8), open = in.gate.as<double>()[n * kFeatures + f] > 0.5;
      prior.push_back(refining ? measured : first);
      feature.insert(
          feature.end(),
          {s / 3 + 1, first / 3, std::log(saliency[f] / mean + 1e-4) / 3,
           refining ? clamp(in.logit.as<double>()[n * kFeatures + f], 6) / 3 : 0.0, refining ? v / 3 + 1 : 0.0,
           refining ? std::asinh(gain * 3 / lambda) : 0.0, std::log(inputs + 1) / 2, refining ? 1.0 : 0.0, u / 3 + 1,
           clamp(u - std::log(lambda), 8) / 3, refining ? measured / 3 : 0.0, refining ? 2 * open - 1 : 0.0});
    }
  }
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto out = run(table, in.as(dtype), refining);
    CHECK(test::close("feature_gate_features", out[0], feature));
    CHECK(test::close("feature_gate_features", out[1], prior));
  }
}

TEST_CASE("feature_gate_features: the same bits for any number of threads, and a network's are its own") {
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Inputs in = Inputs(batch).as(DType::float32);
  std::vector<Tensor> one_thread;
  {
    const test::ThreadCount one(1);
    one_thread = run(batch.table(), in, true);
  }
  const test::ThreadCount three(3);
  const auto all = run(batch.table(), in, true);
  Inputs other = in.as(DType::float32);
  other.saliency.as<float>()[2 * kFeatures] += 0.01f;
  other.lambda.as<float>()[2] += 0.01f;
  const auto changed = run(batch.table(), other, true);
  for (std::size_t i : {0u, 1u}) CHECK(test::same_bits(one_thread[i], all[i]));
  for (std::int64_t n = 0; n < batch.table().network_count; ++n)
    CHECK(test::same_bits(slice_rows(all[0], n * kFeatures, kFeatures),
                          slice_rows(changed[0], n * kFeatures, kFeatures)) == (n != 2));
}

TEST_CASE("feature_gate_features name what does not fit") {
  const test::RandomBatch batch = test::random_batch({{5, 4, 2}, {5, 3, 2}}, Activation::relu, DType::float64, 3);
  Inputs wrong(batch);
  wrong.lambda = Tensor({3}, DType::float64);
  CHECK_THROWS_WITH(run(batch.table(), wrong, false), Catch::Contains("`lambda` of shape (2), got (3)"));
  wrong = Inputs(batch);
  wrong.value = Tensor({2, 4}, DType::float64);
  CHECK_THROWS_WITH(run(batch.table(), wrong, true), Catch::Contains("`value` of shape (2, 3), got (2, 4)"));
  wrong = Inputs(batch);
  wrong.logit = Tensor({5}, DType::float64);
  CHECK_THROWS_WITH(run(batch.table(), wrong, true), Catch::Contains("`logit` of shape (6), got (5)"));
}

}  // namespace
}  // namespace amend
