#include "kernels/probe.hpp"

#include <catch2/catch.hpp>

#include "autograd/op/subject_forward.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/subject_oracle.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using test::RandomBatch;

/// All outputs of a probe, in the order of the names.
struct Probed {
  static constexpr const char* kNames[] = {"fisher",           "fisher_bias", "node_mean",     "node_rms",
                                           "node_correlation", "gradient",    "gradient_bias", "feature_saliency"};
  std::vector<Tensor> output;
};

const Tensor kOffset = test::make_tensor({4}, DType::int32, {0, 1, 4, 7}),
             kWideOffset = test::make_tensor({4}, DType::int32, {0, 1, 31, 33});

Probed probe(const RandomBatch& batch, const TensorView& x, std::int64_t statistic_rows, const TensorView& grad_logits,
             const Tensor& offset = kOffset, std::uint64_t x_id = 0) {
  const kernels::BlockTable& table = batch.table();
  const DType dtype = x.dtype;
  Arena arena;
  Tape tape(arena, Stream{});
  const op::SubjectPass pass =
      op::subject_forward(tape, table, tape.constant(batch.weight), tape.constant(batch.bias), x, {}, true);
  const Shape edges{table.edge_count}, nodes{table.node_count};
  Probed result;
  for (const Shape& shape : {edges, nodes, nodes, nodes, nodes, Shape{grad_logits.extent(0), table.edge_count},
                             Shape{grad_logits.extent(0), table.node_count}, Shape{table.network_count, 3}}) {
    result.output.emplace_back(shape, dtype);
    Tensor& output = result.output.back();  // every output must be overwritten
    for (std::int64_t i = 0; i < output.count(); ++i)
      dtype == DType::float32 ? output.as<float>()[i] = 7.0f : output.as<double>()[i] = 7.0;
  }
  const auto& o = result.output;
  kernels::probe({.table = table,
                  .weight = batch.weight,
                  .x = x,
                  .x_id = x_id,
                  .activation = pass.activation,
                  .slope = pass.slope,
                  .logits = pass.logits.value(),
                  .statistic_rows = statistic_rows,
                  .grad_logits = grad_logits,
                  .fisher = o[0],
                  .fisher_bias = o[1],
                  .node_mean = o[2],
                  .node_rms = o[3],
                  .node_correlation = o[4],
                  .gradient = o[5],
                  .gradient_bias = o[6],
                  .feature_offset = offset,
                  .feature_saliency = o[7]},
                 Stream{});
  return result;
}

/// One network by brute force: rows one by one, classes enumerated, gradients of log p_c by hand.
std::vector<std::vector<double>> brute_force(const SubjectNetwork& subject, const std::vector<double>& x,
                                             std::int64_t rows, std::int64_t n, const std::vector<double>& grad_logits,
                                             std::int64_t objectives, const Tensor& offset = kOffset) {
  const auto inputs = static_cast<std::size_t>(subject.widths.front()),
             classes = static_cast<std::size_t>(subject.widths.back());
  std::vector<test::SubjectOracle> oracle;
  for (std::int64_t r = 0; r < rows; ++r) oracle.emplace_back(subject, x.data() + static_cast<std::size_t>(r) * inputs);
  const double share = 1.0 / static_cast<double>(n);
  const auto flat = [](const std::vector<std::vector<double>>& layers) {
    std::vector<double> all;
    for (const auto& layer : layers) all.insert(all.end(), layer.begin(), layer.end());
    return all;
  };
  const std::size_t nodes = flat(oracle[0].activation).size(), edges = subject.weights.size();
  std::vector<double> mean(nodes), square(nodes), margin, correlation(nodes);
  for (std::int64_t r = 0; r < n; ++r) {
    const auto a = flat(oracle[static_cast<std::size_t>(r)].activation);
    for (std::size_t i = 0; i < nodes; ++i) mean[i] += share * a[i], square[i] += share * a[i] * a[i];
    auto z = oracle[static_cast<std::size_t>(r)].activation.back();
    if (classes > 2) std::sort(z.begin(), z.end());
    margin.push_back(z[classes - 1] - z[classes - 2]);
  }
  double margin_mean = 0.0;
  for (double m : margin) margin_mean += share * m;
  for (std::size_t i = 0; i < nodes; ++i) {
    double cov = 0.0, var = 0.0, margin_var = 0.0;
    for (std::size_t r = 0; r < margin.size(); ++r) {
      const double a = flat(oracle[r].activation)[i] - mean[i], m = margin[r] - margin_mean;
      cov += a * m, var += a * a, margin_var += m * m;
    }
    correlation[i] = var < 1e-20 ? 0.0 : cov / std::sqrt(var * margin_var);
  }
  std::vector<double> fisher(edges), fisher_bias(nodes), saliency(3), rms;
  for (double s : square) rms.push_back(std::sqrt(s));
  for (std::size_t r = 0; r < static_cast<std::size_t>(n); ++r) {
    const auto p = test::softmax(oracle[r].activation.back());
    for (std::size_t c = 0; c < classes; ++c) {
      std::vector<double> seed;
      for (std::size_t k = 0; k < classes; ++k) seed.push_back((k == c ? 1.0 : 0.0) - p[k]);
      const auto delta = oracle[r].gradient(seed);
      std::size_t edge = 0, node = inputs, source_node = 0;
      for (std::size_t l = 1; l < delta.size(); source_node += delta[l - 1].size(), ++l)
        for (double d : delta[l]) {
          fisher_bias[node++] += share * p[c] * d * d;
          for (std::size_t j = 0; j < delta[l - 1].size(); ++j) {
            const double centred = oracle[r].activation[l - 1][j] - mean[source_node + j];
            fisher[edge++] += share * p[c] * d * d * centred * centred;
          }
        }
      for (std::size_t f = 0; f < 3; ++f) {
        double change = 0.0;
        for (auto j = static_cast<std::size_t>(offset.as<std::int32_t>()[f]);
             j < static_cast<std::size_t>(offset.as<std::int32_t>()[f + 1]); ++j)
          change += (x[r * inputs + j] - mean[j]) * delta[0][j];
        saliency[f] += share * p[c] * change * change / 8.0;
      }
    }
  }
  std::vector<double> gradient, gradient_bias;
  for (std::size_t o = 0; o < static_cast<std::size_t>(objectives); ++o) {
    std::vector<double> grad(edges), grad_bias(nodes);
    for (std::size_t r = 0; r < oracle.size(); ++r) {
      const auto* g = grad_logits.data() + (o * oracle.size() + r) * classes;
      const auto delta = oracle[r].gradient({g, g + classes});
      std::size_t edge = 0, node = inputs;
      for (std::size_t l = 1; l < delta.size(); ++l)
        for (double d : delta[l]) {
          grad_bias[node++] += d;
          for (double a : oracle[r].activation[l - 1]) grad[edge++] += d * a;
        }
    }
    gradient.insert(gradient.end(), grad.begin(), grad.end());
    gradient_bias.insert(gradient_bias.end(), grad_bias.begin(), grad_bias.end());
  }
  return {fisher, fisher_bias, mean, rms, correlation, gradient, gradient_bias, saliency};
}

TEST_CASE("probe agrees with per-row gradients of log p enumerated over classes") {
  const int classes = GENERATE(2, 3);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Activation activation = GENERATE(Activation::relu, Activation::tanh);
  const std::vector<int> widths = GENERATE_COPY(std::vector<int>{7, 6, 5, classes}, std::vector<int>{7, classes});
  const std::int64_t rows = 300, n = 270;
  const RandomBatch batch = test::random_batch({widths}, activation, dtype, 11);
  Tensor x = test::random_tensor({rows, 7}, dtype, 1);
  for (std::int64_t r = 0; r < rows; ++r)  // a constant column correlates with nothing
    dtype == DType::float32 ? x.as<float>()[r * 7 + 5] = 0.7f : x.as<double>()[r * 7 + 5] = double{0.7f};
  const Tensor grad = test::random_tensor({2, 1, rows, classes}, dtype, 2);
  const Probed got = probe(batch, x, n, grad);
  const auto want = brute_force(batch.networks[0], test::values(x), rows, n, test::values(grad), 2);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = test::largest_difference(test::values(got.output[i]), want[i]);
    CAPTURE(Probed::kNames[i]);
    CHECK(error / test::tolerance("probe", dtype, test::largest(want[i])) <= 1.0);
  }
  CHECK(test::values(got.output[4])[5] == 0.0);
  CHECK(test::largest(test::values(slice_rows(got.output[1], 0, 7))) == 0.0);
}

TEST_CASE("probe: opposite gradients of two classes share an error signal, others do not need to be") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t rows = 300, n = GENERATE(2, 200, 256, 300);
  const RandomBatch batch = test::random_batch({{7, 18, 5, 2}}, Activation::silu, dtype, 11);
  const Tensor x = test::random_tensor({rows, 7}, dtype, 1);
  Tensor grad = test::random_tensor({2, 1, rows, 2}, dtype, 2);
  // Of both objectives in the first tile of rows, of none of them in the second.
  for (std::int64_t o = 0; o < 2; ++o)
    for (std::int64_t r = o * rows; r < o * rows + 256; ++r)
      dtype == DType::float32 ? grad.as<float>()[2 * r] = -grad.as<float>()[2 * r + 1]
                              : grad.as<double>()[2 * r] = -grad.as<double>()[2 * r + 1];
  const Probed got = probe(batch, x, n, grad);
  const auto want = brute_force(batch.networks[0], test::values(x), rows, n, test::values(grad), 2);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = test::largest_difference(test::values(got.output[i]), want[i]);
    CAPTURE(Probed::kNames[i], n);
    CHECK(error / test::tolerance("probe", dtype, test::largest(want[i])) <= 1.0);
  }
}

TEST_CASE("probe agrees with per-row gradients on rows that are mostly zeros") {
  const int classes = GENERATE(2, 3);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t rows = 300, n = 270;
  const RandomBatch batch = test::random_batch({{33, 18, 5, classes}}, Activation::tanh, dtype, 11);
  const Tensor x = test::one_hot_rows(rows, {1, 30, 2}, dtype, 1);
  const auto set = [&](std::int64_t row, std::int64_t column, double value) {
    dtype == DType::float32 ? x.as<float>()[row * 33 + column] = static_cast<float>(value)
                            : x.as<double>()[row * 33 + column] = value;
  };
  for (std::int64_t r = 0; r < rows; ++r) set(r, 31, r % 50 != 0), set(r, 32, r % 50 == 0), set(r, 5, 0.0);
  const Tensor grad = test::random_tensor({2, 1, rows, classes}, dtype, 2);
  const bool kept = GENERATE(false, true);
  const Probed got = probe(batch, x, n, grad, kWideOffset, kept ? kernels::new_x_id() : 0);
  const auto want = brute_force(batch.networks[0], test::values(x), rows, n, test::values(grad), 2, kWideOffset);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double error = test::largest_difference(test::values(got.output[i]), want[i]);
    CAPTURE(Probed::kNames[i]);
    CHECK(error / test::tolerance("probe", dtype, test::largest(want[i])) <= 1.0);
  }
  for (double fisher : test::values(got.output[0])) CHECK(fisher >= 0.0);
}

TEST_CASE("probe: with two classes the Fisher is the mean of p (1 - p) J^2 (a - mu)^2") {
  const RandomBatch batch = test::random_batch({{7, 6, 2}}, Activation::silu, DType::float64, 12);
  const Tensor x = test::random_tensor({40, 7}, DType::float64, 1);
  const auto xs = test::values(x);
  const auto got = test::values(probe(batch, x, 40, Tensor({1, 1, 40, 2}, DType::float64)).output[0]);
  std::vector<double> want(42), mean(7);
  for (std::size_t i = 0; i < xs.size(); ++i) mean[i % 7] += xs[i] / 40.0;
  for (std::size_t r = 0; r < 40; ++r) {
    const test::SubjectOracle oracle(batch.networks[0], xs.data() + r * 7);
    const auto p = test::softmax(oracle.activation.back());
    const auto margin = oracle.gradient({-1.0, 1.0});
    for (std::size_t i = 0; i < 6; ++i)
      for (std::size_t j = 0; j < 7; ++j)
        want[i * 7 + j] += p[0] * p[1] * std::pow(margin[1][i] * (xs[r * 7 + j] - mean[j]), 2) / 40.0;
  }
  CHECK(test::largest_difference({got.begin(), got.begin() + 42}, want) <=
        test::tolerance("probe", DType::float64, test::largest(want)));
}

TEST_CASE("probe: its gradient is the tape's") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch({{7, 6, 5, 2}, {7, 4, 2}}, Activation::silu, dtype, 13);
  const Tensor x = test::random_tensor({600, 7}, dtype, 1), grad = test::random_tensor({1, 2, 600, 2}, dtype, 2);
  const Probed got = probe(batch, x, 100, grad);
  Tensor grad_weight({batch.table().edge_count}, dtype), grad_bias({batch.table().node_count}, dtype);
  Arena arena;
  Tape tape(arena, Stream{});
  const op::SubjectPass pass = op::subject_forward(tape, batch.table(), tape.leaf(batch.weight, grad_weight),
                                                   tape.leaf(batch.bias, grad_bias), x);
  tape.backward(pass.logits, reshape(grad, {2, 600, 2}));
  CHECK(test::same_bits(reshape(got.output[5], grad_weight.view().shape), grad_weight));
  CHECK(test::same_bits(reshape(got.output[6], grad_bias.view().shape), grad_bias));
}

TEST_CASE("probe: rows that change in place change its statistics") {
  const RandomBatch batch = test::random_batch({{7, 4, 2}}, Activation::tanh, DType::float64, 3);
  const Tensor grad({1, 1, 20, 2}, DType::float64), x = test::random_tensor({20, 7}, DType::float64, 1);
  (void)probe(batch, x, 20, grad);
  x.as<double>()[19 * 7 + 5] += 3.0;
  const Probed got = probe(batch, x, 20, grad);
  double mean = 0.0;
  for (int r = 0; r < 20; ++r) mean += x.as<double>()[r * 7 + 5] / 20;
  CHECK(test::values(got.output[2])[5] == Approx(mean));
}

TEST_CASE("probe: same bits alone, in a batch of mixed shapes and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int classes = GENERATE(2, 3);
  const RandomBatch batch = test::random_batch(
      {{7, 32, 16, classes}, {7, classes}, {7, 9, classes}, {7, 32, 16, classes}}, Activation::tanh, dtype, 14);
  const Tensor x = test::random_tensor({700, 7}, dtype, 1), grad = test::random_tensor({1, 4, 700, classes}, dtype, 2);
  Probed all;
  {
    const test::ThreadCount one(1);
    all = probe(batch, x, 600, grad);
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    const Probed again = probe(batch, x, 600, grad);
    for (std::size_t i = 0; i < all.output.size(); ++i) CHECK(test::same_bits(all.output[i], again.output[i]));
  }
  for (std::int64_t b = 0; b < 4; ++b) {
    const kernels::Network& network = batch.table().network[b];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(b)]}, dtype);
    const Tensor own = test::make_tensor({1, 1, 700, classes}, dtype,
                                         test::values(slice_rows(reshape(grad, {4, 700, classes}), b, 1)));
    const Probed single = probe(alone, x, 600, own);
    for (std::size_t i = 0; i < all.output.size(); ++i) {
      CAPTURE(Probed::kNames[i], b);
      const TensorView whole = all.output[i], part = single.output[i];
      const std::int64_t first = i == 7 ? 3 * b : i == 0 || i == 5 ? network.edge_offset : network.node_offset;
      CHECK(test::same_bits(slice_rows(reshape(whole, {whole.count()}), first, part.count()),
                            reshape(part, {part.count()})));
    }
  }
}

TEST_CASE("probe: outputs are optional, arguments are checked, extremes are finite") {
  const DType dtype = DType::float32;
  RandomBatch batch = test::random_batch({{7, 6, 2}, {7, 3, 2}}, Activation::relu, dtype, 15);
  const Tensor x = test::random_tensor({1, 7}, dtype, 1), grad({1, 2, 1, 2}, dtype);
  const Probed one_row = probe(batch, x, 1, grad);
  CHECK(test::largest(test::values(one_row.output[0])) == 0.0);  // the only row is the mean
  CHECK(test::largest(test::values(one_row.output[4])) == 0.0);
  for (std::int64_t e = 0; e < batch.weight.count(); ++e) batch.weight.as<float>()[e] *= 1e4f;
  const Tensor wide = test::random_tensor({50, 7}, dtype, 1);
  for (const Tensor& output : probe(batch, wide, 50, Tensor({1, 2, 50, 2}, dtype)).output)
    for (double value : test::values(output)) CHECK(std::isfinite(value));
  CHECK_THROWS_WITH(probe(batch, x, 2, grad), Catch::Contains("statistic_rows"));
  CHECK_NOTHROW(probe(test::make_batch({}, dtype), x, 1, Tensor({1, 0, 1, 0}, dtype)));
}

}  // namespace
}  // namespace amend
