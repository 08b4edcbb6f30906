#include "kernels/feature_ablation.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/feature_fold.hpp"
#include "kernels/subject_forward.hpp"
#include "test/support/op_run.hpp"
#include "test/support/subject_oracle.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

constexpr std::int64_t kRows = 600, kCount = 530, kFeatures = 3;  // several row tiles, the last one short
const Tensor kOffset = test::make_tensor({kFeatures + 1}, DType::int32, {0, 1, 4, 5});  // features of 1, 3 and 1 inputs

struct Inputs {
  test::RandomBatch batch;
  Tensor x, deviation;

  Inputs(const std::vector<std::vector<int>>& widths, Activation activation, DType dtype)
      : batch(test::random_batch(widths, activation, dtype, 3)),
        x(test::random_tensor({kRows, 5}, dtype, 1)),
        deviation(test::random_tensor({5, kCount}, dtype, 2)) {}
};

Tensor run(const Inputs& in) {
  const kernels::BlockTable& table = in.batch.table();
  const DType dtype = in.x.view().dtype;
  const Tensor logits({table.network_count, kRows, table.network[0].outputs}, dtype),
      divergence({table.network_count, kFeatures}, dtype);
  kernels::subject_forward(
      {.table = table, .weight = in.batch.weight, .bias = in.batch.bias, .x = in.x, .logits = logits}, Stream{});
  kernels::feature_ablation({.table = table,
                             .weight = in.batch.weight,
                             .bias = in.batch.bias,
                             .x = in.x,
                             .logits = logits,
                             .deviation = in.deviation,
                             .feature_offset = kOffset,
                             .divergence = divergence},
                            Stream{});
  return divergence;
}

std::vector<double> oracle(const Inputs& in) {
  const test::Matrix x(in.x), deviation(in.deviation);
  const auto offset = kOffset.as<std::int32_t>();
  std::vector<double> result;
  for (const SubjectNetwork& network : in.batch.networks)
    for (std::int64_t f = 0; f < kFeatures; ++f) {
      double sum = 0.0;
      for (std::int64_t r = 0; r < kCount; ++r) {
        std::vector<double> before, after;
        for (std::int64_t j = 0; j < 5; ++j) {
          before.push_back(x(r, j));
          after.push_back(x(r, j) - (j >= offset[f] && j < offset[f + 1] ? deviation(j, r) : 0.0));
        }
        const auto p = test::softmax(test::SubjectOracle(network, before.data()).activation.back()),
                   q = test::softmax(test::SubjectOracle(network, after.data()).activation.back());
        for (std::size_t c = 0; c < p.size(); ++c) {
          const double m = 0.5 * (p[c] + q[c]);
          sum += 0.5 * (p[c] * std::log(p[c] / m) + q[c] * std::log(q[c] / m));
        }
      }
      result.push_back(sum / kCount);
    }
  return result;
}

TEST_CASE("feature_ablation agrees with evaluating the networks on changed rows") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Activation activation = GENERATE(Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid);
  const int classes = GENERATE(2, 3);
  const Inputs in({{5, 1, 1, classes}, {5, classes}, {5, 7, 4, 3, classes}, {5, 40, 30, classes}}, activation, dtype);
  const std::vector<double> expected = oracle(in);
  CHECK(test::largest(expected) > 0.01);
  const double error = test::largest_difference(test::values(run(in)), expected);
  CHECK(error / test::tolerance("feature_ablation", dtype, std::log(2.0)) <= 1.0);
}

TEST_CASE("feature_ablation is exactly 0 for a feature that no weight reads") {
  Inputs in({{5, 6, 2}, {5, 4, 2}}, Activation::tanh, DType::float32);
  const kernels::Block& block = in.batch.table().block[in.batch.table().network[1].first_block];
  for (std::int64_t i = 0; i < block.rows; ++i)
    for (std::int64_t j = 1; j < 4; ++j) in.batch.weight.as<float>()[block.edge_offset + i * block.cols + j] = 0.0f;
  const std::vector<double> got = test::values(run(in));
  CHECK(got[4] == 0.0);
  for (const std::size_t i : {0u, 1u, 2u, 3u, 5u}) CHECK(got[i] > 1e-4);
}

TEST_CASE("feature_ablation: the same bits for any number of threads, and a network's are its own") {
  const Inputs all(test::kRagged, Activation::relu, DType::float32);
  Tensor one_thread;
  {
    const test::ThreadCount one(1);
    one_thread = run(all);
  }
  const test::ThreadCount three(3);
  const Tensor batch = run(all);
  CHECK(test::same_bits(one_thread, batch));
  for (std::size_t n = 0; n < all.batch.networks.size(); ++n) {
    Inputs alone({test::kRagged[n]}, Activation::relu, DType::float32);
    alone.batch = test::make_batch({all.batch.networks[n]}, DType::float32);
    CHECK(test::same_bits(run(alone), slice_rows(batch, static_cast<std::int64_t>(n), 1)));
  }
}

TEST_CASE("feature_ablation of a feature's deviation from its mean is mean ablation") {
  Inputs in({{5, 6, 4, 2}}, Activation::silu, DType::float64);
  kernels::feature_deviation({.x = in.x, .deviation = in.deviation}, Stream{});
  double mean = 0.0;
  for (std::int64_t r = 0; r < kCount; ++r) mean += in.x.as<double>()[r * 5 + 4] / kCount;
  for (std::int64_t r = 0; r < kCount; ++r)
    CHECK(in.x.as<double>()[r * 5 + 4] - in.deviation.as<double>()[4 * kCount + r] == Approx(mean).margin(1e-12));
  CHECK(test::largest_difference(test::values(run(in)), oracle(in)) <=
        test::tolerance("feature_ablation", DType::float64, std::log(2.0)));
}

/// Gates, original weights and regressions for `in`, whose own weights stand for an edited network.
struct Closed {
  Tensor gate, weight, beta;
  explicit Closed(const Inputs& in)
      : gate({in.batch.table().network_count, kFeatures}, in.x.view().dtype),
        weight(test::random_tensor({in.batch.table().edge_count}, in.x.view().dtype, 7, 0.5)),
        beta(test::random_tensor({in.batch.table().network_count, 5, 5}, in.x.view().dtype, 8, 0.3)) {
    for (std::int64_t i = 0; i < gate.count(); ++i) {
      if (gate.view().dtype == DType::float64)
        gate.as<double>()[i] = i % 2 ? 1.0 : 0.0;
      else
        gate.as<float>()[i] = i % 2 ? 1.0f : 0.0f;
    }
  }
};

TEST_CASE("feature_ablation gives closed features back what the open ones do not predict") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Inputs in({{5, 2}, {5, 7, 4, 3, 2}, {5, 20, 2}}, Activation::tanh, dtype);
  const kernels::BlockTable& table = in.batch.table();
  const Closed closed(in);
  const Tensor logits = test::random_tensor({3, kRows, 2}, dtype, 9), divergence({3, kFeatures}, dtype);
  const kernels::FeatureAblation args{.table = table,
                                      .weight = in.batch.weight,
                                      .bias = in.batch.bias,
                                      .x = in.x,
                                      .logits = logits,
                                      .deviation = in.deviation,
                                      .feature_gate = closed.gate,
                                      .closed_weight = closed.weight,
                                      .beta = closed.beta,
                                      .feature_offset = kOffset,
                                      .divergence = divergence};
  kernels::feature_ablation(args, Stream{});

  // The change enters the first layer by weights of its own: the oracle shifts its biases.
  const test::Matrix x(in.x), deviation(in.deviation);
  const std::vector<double> z = test::values(logits), gate = test::values(closed.gate),
                            beta = test::values(closed.beta), original = test::values(closed.weight),
                            edited = test::values(in.batch.weight);
  const auto offset = kOffset.as<std::int32_t>();
  std::vector<double> expected;
  for (std::size_t n = 0; n < 3; ++n)
    for (std::int64_t f = 0; f < kFeatures; ++f) {
      const bool open = gate[n * kFeatures + static_cast<std::size_t>(f)] > 0.5;
      const kernels::Block& block = table.block[table.network[n].first_block];
      double sum = 0.0;
      for (std::int64_t r = 0; r < kCount; ++r) {
        std::vector<double> row;
        for (std::int64_t j = 0; j < 5; ++j) row.push_back(x(r, j));
        std::vector<double> shift(static_cast<std::size_t>(block.rows), 0.0);
        for (std::int64_t j = offset[f]; j < offset[f + 1]; ++j) {
          double residual = deviation(j, r);
          if (!open)
            for (std::int64_t k = 0; k < 5; ++k)
              residual -= beta[n * 25 + static_cast<std::size_t>(j * 5 + k)] * deviation(k, r);
          for (std::int64_t i = 0; i < block.rows; ++i) {
            const auto at = static_cast<std::size_t>(block.edge_offset + i * 5 + j);
            shift[static_cast<std::size_t>(i)] += open ? -residual * edited[at] : residual * original[at];
          }
        }
        const std::size_t at = (n * kRows + static_cast<std::size_t>(r)) * 2;
        const auto p = test::softmax({z[at], z[at + 1]});
        const auto q = test::softmax(test::SubjectOracle(in.batch.networks[n], row.data(), shift).activation.back());
        for (std::size_t c = 0; c < 2; ++c) {
          const double m = 0.5 * (p[c] + q[c]);
          sum += 0.5 * (p[c] * std::log(p[c] / m) + q[c] * std::log(q[c] / m));
        }
      }
      expected.push_back(sum / kCount);
    }
  const double error = test::largest_difference(test::values(divergence), expected);
  CHECK(error / test::tolerance("feature_ablation", dtype, std::log(2.0)) <= 1.0);
}

TEST_CASE("feature_value is what having a feature open saves") {
  const Tensor gate = test::make_tensor({2, 2}, DType::float64, {1, 0, 0, 1}),
               divergence = test::make_tensor({2}, DType::float64, {0.25, 0.5}),
               value = test::make_tensor({2, 2}, DType::float64, {0.75, 0.125, 0.0, 0.25});
  kernels::feature_value({.gate = gate, .divergence = divergence, .value = value}, Stream{});
  CHECK(test::values(value) == std::vector<double>{0.5, 0.125, 0.5, -0.25});
  const Tensor coefficient = test::make_tensor({2}, DType::float64, {2.0, -4.0}),
               scaled = test::make_tensor({2, 2}, DType::float64, {0.75, 0.125, 0.0, 0.25});
  kernels::feature_value({.gate = gate, .divergence = divergence, .coefficient = coefficient, .value = scaled},
                         Stream{});
  CHECK(test::values(scaled) == std::vector<double>{1.0, 0.25, -2.0, 1.0});
}

TEST_CASE("feature_ablation names what does not fit") {
  Inputs in({{5, 4, 2}}, Activation::relu, DType::float32);
  in.deviation = Tensor({5, kRows + 1}, DType::float32);
  CHECK_THROWS_WITH(run(in), Catch::Contains("expected a deviation of 1 to 600 rows, got 601"));
  in.deviation = Tensor({4, kCount}, DType::float32);
  CHECK_THROWS_WITH(run(in), Catch::Contains("`deviation` of shape (5, 530), got (4, 530)"));
}

}  // namespace
}  // namespace amend
