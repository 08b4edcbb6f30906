#include "kernels/feature_ablation.hpp"

#include "kernels/subject_forward.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(feature_ablation, FeatureAblation)
AMEND_TWINS(feature_value, FeatureValue)

namespace amend::test {
namespace {

constexpr std::int64_t kInputs = 12, kRows = 80, kFeatures = 16;  // twice as many as are stacked
const Tensor kOffset =
    make_tensor({kFeatures + 1}, DType::int32, {0, 1, 4, 5, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 12});

struct Inputs {
  RandomBatch batch;
  Tensor x, deviation, logits, gate, closed_weight, beta;

  Inputs(const std::vector<std::vector<int>>& widths, Activation activation, std::int64_t count, bool gates,
         DType dtype)
      : batch(random_batch(widths, activation, dtype, 3)),
        x(random_tensor({kRows, kInputs}, dtype, 1)),
        deviation(random_tensor({kInputs, count}, dtype, 2)) {
    const kernels::BlockTable& table = batch.table();
    logits = Tensor({table.network_count, kRows, table.network[0].outputs}, dtype);
    kernels::subject_forward({.table = table, .weight = batch.weight, .bias = batch.bias, .x = x, .logits = logits},
                             Stream{});
    if (!gates) return;
    gate = random_tensor({table.network_count, kFeatures}, dtype, 4, 1.0, 0.5);
    closed_weight = random_tensor({table.edge_count}, dtype, 5, 0.5);
    beta = random_tensor({table.network_count, kInputs, kInputs}, dtype, 6, 0.3);
  }
  void forward() const {
    kernels::subject_forward(
        {.table = batch.table(), .weight = batch.weight, .bias = batch.bias, .x = x, .logits = logits}, Stream{});
  }

  /// Network n alone.
  Inputs(const Inputs& all, std::int64_t n)
      : batch(make_batch({all.batch.networks[static_cast<std::size_t>(n)]}, all.x.view().dtype)),
        x(all.x),
        deviation(all.deviation) {
    const DType dtype = x.view().dtype;
    const kernels::Network& network = all.batch.table().network[n];
    logits = convert(slice_rows(all.logits, n, 1), dtype);
    if (!all.gate) return;
    gate = convert(slice_rows(all.gate, n, 1), dtype);
    closed_weight = convert(slice_rows(all.closed_weight, network.edge_offset, network.edge_count), dtype);
    beta = convert(slice_rows(all.beta, n, 1), dtype);
  }
};

Tensor run(Twin twin, const Inputs& in, const Tensor& offset = kOffset) {
  const kernels::BlockTable& table = in.batch.table();
  const Tensor divergence = unset({table.network_count, offset.count() - 1}, in.x.view().dtype);
  twins::feature_ablation(twin, {.table = table,
                                 .weight = in.batch.weight,
                                 .bias = in.batch.bias,
                                 .x = in.x,
                                 .logits = in.logits,
                                 .deviation = in.deviation,
                                 .feature_gate = in.gate,
                                 .closed_weight = in.closed_weight,
                                 .beta = in.beta,
                                 .feature_offset = offset,
                                 .divergence = divergence});
  return divergence;
}

/// Twins agree, and networks have the same bits alone.
void compare(const Inputs& in) {
  const Tensor got = compare_twins("feature_ablation", [&](Twin twin) { return std::vector<Tensor>{run(twin, in)}; },
                                   {std::log(2.0)})[0];
  CHECK(largest(values(got)) > 1e-3);
  for (std::int64_t n = 0; n < in.batch.table().network_count; ++n) {
    INFO("network " << n);
    CHECK(same_bits(run(Twin::cuda, Inputs(in, n)), slice_rows(got, n, 1)));
  }
}

constexpr int kWidth = static_cast<int>(kInputs);

TEST_CASE("cuda feature_ablation") {
  const Activation activation = GENERATE(Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid);
  const bool gates = activation == Activation::relu || activation == Activation::silu;
  const DType dtype =
      activation == Activation::relu || activation == Activation::tanh ? DType::float32 : DType::float64;
  const int classes = gates == (dtype == DType::float32) ? 2 : 5;
  compare(
      Inputs({{kWidth, 7, 4, classes}, {kWidth, classes}, {kWidth, 1, 3, 5, classes}}, activation, 35, gates, dtype));
}

TEST_CASE("cuda feature_ablation of networks that do not fit shared memory") {
  const bool gates = GENERATE(false, true);
  compare(Inputs({{kWidth, 5, 2}, {kWidth, 66, 2}}, Activation::tanh, gates ? 10 : 66, gates, DType::float32));
}

TEST_CASE("gpu feature_ablation of networks that do not fit the shared memory of any", "[.][gpu]") {
  const bool gates = GENERATE(false, true);
  compare(Inputs({{kWidth, 5, 2}, {kWidth, 260, 250, 2}}, Activation::tanh, 66, gates, DType::float32));
}

TEST_CASE("cuda feature_ablation: 0 for what no weight reads, NaN for columns that are not there") {
  const bool wide = GENERATE(false, true);
  Inputs in({{kWidth, wide ? 70 : 6, 2}}, Activation::tanh, 20, false, DType::float32);
  const kernels::Block& block = in.batch.table().block[0];
  for (std::int64_t i = 0; i < block.rows; ++i)
    for (std::int64_t j = 1; j < 4; ++j) in.batch.weight.as<float>()[i * block.cols + j] = 0.0f;
  in.forward();
  const std::vector<double> got = values(run(Twin::cuda, in));
  CHECK(got[1] < 1e-12);
  CHECK(got[3] < 1e-12);  // a feature of no columns
  CHECK(got[0] > 1e-4);
  const Tensor broken = make_tensor({4}, DType::int32, {0, 2, 1, 13});
  const std::vector<double> bad = values(run(Twin::cuda, in, broken));
  CHECK(bad[0] > 1e-4);
  CHECK(std::isnan(bad[1]));
  CHECK(std::isnan(bad[2]));
}

TEST_CASE("cuda feature_ablation of no networks") {
  const RandomBatch none = make_batch({}, DType::float32);
  const Tensor nothing({0, 1, 2}, DType::float32), empty({0}, DType::float32), result({0, kFeatures}, DType::float32);
  CHECK_NOTHROW(twins::feature_ablation(Twin::cuda, {.table = none.table(),
                                                     .weight = empty,
                                                     .bias = empty,
                                                     .x = random_tensor({1, kInputs}, DType::float32, 1),
                                                     .logits = nothing,
                                                     .deviation = random_tensor({kInputs, 1}, DType::float32, 1),
                                                     .feature_offset = kOffset,
                                                     .divergence = result}));
}

TEST_CASE("cuda feature_value") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool scaled = GENERATE(false, true);
  const std::int64_t networks = GENERATE(0, 50);
  const Tensor gate = random_tensor({networks, 7}, dtype, 1, 1.0, 0.5),
               divergence = random_tensor({networks}, dtype, 2),
               coefficient = scaled ? random_tensor({networks}, dtype, 3) : Tensor();
  compare_twins("feature_ablation", [&](Twin twin) {
    const Tensor value = random_tensor({networks, 7}, dtype, 4);
    twins::feature_value(twin, {.gate = gate, .divergence = divergence, .coefficient = coefficient, .value = value});
    return std::vector<Tensor>{value};
  });
}

}  // namespace
}  // namespace amend::test
