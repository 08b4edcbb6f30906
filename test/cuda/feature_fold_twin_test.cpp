#include "kernels/feature_fold.hpp"

#include <algorithm>
#include <cmath>

#include "test/support/twins.hpp"

AMEND_TWINS(feature_fold_forward, FeatureFold)
AMEND_TWINS(feature_fold_backward, FeatureFoldGradient)
AMEND_TWINS(feature_deviation, FeatureDeviation)

namespace amend::test {
namespace {

/// Networks of `inputs` inputs in features of 1, 2, 3, 1, 2, ... inputs.
struct FoldCase {
  std::int64_t inputs;
  std::vector<std::vector<int>> widths;
  DType dtype;
  std::int64_t read = 1000;  // inputs from here on are not read by any network

  Tensor offset() const {
    std::vector<double> starts{0};
    for (int size = 1; starts.back() < static_cast<double>(inputs); size = size % 3 + 1)
      starts.push_back(std::min(starts.back() + size, static_cast<double>(inputs)));
    return make_tensor({static_cast<std::int64_t>(starts.size())}, DType::int32, starts);
  }
  /// I / 2 + A A^T of a random A of eight columns.
  Tensor covariance() const {
    constexpr std::int64_t kColumns = 8;
    const std::vector<double> a = values(random_tensor({inputs, kColumns}, DType::float64, 5, 0.5));
    std::vector<double> sigma(static_cast<std::size_t>(inputs * inputs));
    for (std::size_t i = 0; i < static_cast<std::size_t>(inputs); ++i)
      for (std::size_t j = 0; j < static_cast<std::size_t>(inputs); ++j) {
        double& sum = sigma[i * static_cast<std::size_t>(inputs) + j];
        sum = i == j ? 0.5 : 0.0;
        for (std::size_t k = 0; k < kColumns; ++k) sum += a[i * kColumns + k] * a[j * kColumns + k];
      }
    return make_tensor({inputs, inputs}, DType::float64, sigma);
  }
};

/// beta, base, grad_feature_gate. Gates of network n (of the batch that starts before `first`) follow a pattern: mixed,
/// all open, all closed; every third weight is 0, and some inputs are not read at all.
std::vector<Tensor> run(Twin twin, const RandomBatch& batch, const FoldCase& c, const Tensor& grad_base,
                        std::int64_t first = 0) {
  const kernels::BlockTable& table = batch.table();
  const Tensor offset = c.offset(), covariance = c.covariance(), weight = convert(batch.weight, DType::float64);
  const std::int64_t networks = table.network_count, features = offset.count() - 1;
  for (std::int64_t n = 0; n < networks; ++n) {
    const kernels::Block& block = table.block[table.network[n].first_block];
    double* own = weight.as<double>() + block.edge_offset;
    for (std::int64_t e = 0; e < std::int64_t{block.rows} * block.cols; ++e)
      if (e % 3 == 0 || e % block.cols == 2 || e % block.cols >= c.read) own[e] = 0.0;
  }
  Tensor gate({networks, features}, DType::float64);
  for (std::int64_t n = 0; n < networks; ++n)
    for (std::int64_t f = 0; f < features; ++f)
      gate.as<double>()[n * features + f] = (first + n) % 4 == 2   ? 1.0
                                            : (first + n) % 4 == 3 ? 0.25
                                            : (first + n + f) % 3  ? 0.75
                                                                   : 0.125;
  const Tensor w = convert(weight, c.dtype), m = convert(gate, c.dtype),
               beta = unset({networks, c.inputs, c.inputs}, c.dtype), base = unset({table.edge_count}, c.dtype),
               grad_gate = convert(slice_rows(random_tensor({first + networks, features}, c.dtype, 9), first, networks),
                                   c.dtype);
  const kernels::FeatureFold forward{.table = table,
                                     .weight = w,
                                     .feature_gate = m,
                                     .feature_offset = offset,
                                     .covariance = covariance,
                                     .beta = beta,
                                     .base = base};
  twins::feature_fold_forward(twin, forward);
  twins::feature_fold_backward(twin, {.forward = forward, .grad_base = grad_base, .grad_feature_gate = grad_gate});
  return {beta, base, grad_gate};
}

void check_fold(const FoldCase& c) {
  const RandomBatch batch = random_batch(c.widths, Activation::relu, c.dtype, 1);
  const Tensor grad_base = random_tensor({batch.table().edge_count}, c.dtype, 4);
  const std::vector<Tensor> got =
      compare_twins("feature_fold", [&](Twin twin) { return run(twin, batch, c, grad_base); });
  for (std::size_t n = 0; n < c.widths.size(); ++n) {  // the same bits alone
    const kernels::Network& network = batch.table().network[n];
    const RandomBatch alone = make_batch({batch.networks[n]}, c.dtype);
    const std::int64_t at = static_cast<std::int64_t>(n);
    const std::vector<Tensor> own =
        run(Twin::cuda, alone, c, convert(slice_rows(grad_base, network.edge_offset, network.edge_count), c.dtype), at);
    CHECK(same_bits(own[0], slice_rows(got[0], at, 1)));
    CHECK(same_bits(own[1], slice_rows(got[1], network.edge_offset, network.edge_count)));
    CHECK(same_bits(own[2], slice_rows(got[2], at, 1)));
  }
}

TEST_CASE("cuda feature_fold") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  check_fold({23, {{23, 4, 2}, {23, 2}, {23, 3, 2}, {23, 3, 3, 2}}, dtype});
}

TEST_CASE("cuda feature_fold of more inputs than fit into shared memory") {
  check_fold({205, {{205, 2, 2}}, DType::float32, 24});
}

TEST_CASE("cuda feature_fold: the same bits in shared memory and in the workspace") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const FoldCase c{23, {{23, 4, 2}, {23, 2}, {23, 3, 2}, {23, 3, 3, 2}}, dtype};
  const RandomBatch batch = random_batch(c.widths, Activation::relu, dtype, 1);
  const Tensor grad_base = random_tensor({batch.table().edge_count}, dtype, 4);
  const std::vector<Tensor> expected = run(Twin::cuda, batch, c, grad_base);
  const emulation::SharedBytes shared(2 << 10);  // no room for 276 doubles beside the lists
  const std::vector<Tensor> got = run(Twin::cuda, batch, c, grad_base);
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
  const emulation::SharedBytes none(1 << 10);
  if (!twin_device().is_cuda()) CHECK_THROWS_WITH(run(Twin::cuda, batch, c, grad_base), Catch::Contains("too many"));
}

TEST_CASE("cuda feature_fold of no networks, and of a covariance that is none") {
  const FoldCase c{6, {}, DType::float32};
  const RandomBatch none = make_batch({}, c.dtype), one = random_batch({{6, 3, 2}}, Activation::relu, c.dtype, 1);
  CHECK_NOTHROW(run(Twin::cuda, none, c, Tensor({0}, c.dtype)));
  const Tensor offset = make_tensor({3}, DType::int32, {0, 3, 6}), gate = make_tensor({1, 2}, c.dtype, {1.0, 0.0}),
               beta = unset({1, 6, 6}, c.dtype), base = unset({one.table().edge_count}, c.dtype),
               covariance = make_tensor({6, 6}, DType::float64, std::vector<double>(36, -1.0));
  twins::feature_fold_forward(Twin::cuda, {.table = one.table(),
                                           .weight = one.weight,
                                           .feature_gate = gate,
                                           .feature_offset = offset,
                                           .covariance = covariance,
                                           .beta = beta,
                                           .base = base});
  CHECK(std::isnan(values(base)[0]));
}

TEST_CASE("cuda feature_deviation") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool some = GENERATE(false, true);
  const Tensor x = random_tensor({300, 7}, dtype, 1, 1.0, 3.0), unique = random_tensor({7, 7}, dtype, 2);
  compare_twins("feature_fold", [&](Twin twin) {
    const Tensor deviation = unset({7, some ? 270 : 300}, dtype);
    twins::feature_deviation(twin, {.x = x, .unique = some ? unique.view() : TensorView{}, .deviation = deviation});
    return std::vector<Tensor>{deviation};
  });
}

}  // namespace
}  // namespace amend::test
