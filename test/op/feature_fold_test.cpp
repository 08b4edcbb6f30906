#include "autograd/op/feature_fold.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/cpu/cholesky.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

constexpr std::int64_t kInputs = 5, kFeatures = 3;
const Tensor kOffset = test::make_tensor({kFeatures + 1}, DType::int32, {0, 1, 4, 5});  // features of 1, 3 and 1 inputs

/// Covariance A A^T of a random A.
Tensor covariance() {
  const Tensor a = test::random_tensor({kInputs, kInputs}, DType::float64, 5);
  Tensor result({kInputs, kInputs}, DType::float64);
  for (std::int64_t i = 0; i < kInputs; ++i)
    for (std::int64_t j = 0; j < kInputs; ++j)
      for (std::int64_t k = 0; k < kInputs; ++k)
        result.as<double>()[i * kInputs + j] += a.as<double>()[i * kInputs + k] * a.as<double>()[j * kInputs + k];
  return result;
}

/// Gates that are neither all open nor all closed, and differ between networks.
Tensor gates(std::int64_t networks) {
  Tensor gate({networks, kFeatures}, DType::float64);
  for (std::int64_t n = 0; n < networks; ++n)
    for (std::int64_t f = 0; f < kFeatures; ++f)
      gate.as<double>()[n * kFeatures + f] = (n + f) % 3 == 0 ? 0.2 : f == 1 ? 1.0 : 0.8;
  return gate;
}

test::TapeProgram program(const kernels::BlockTable& table, const TensorView& weight, const Tensor& sigma) {
  return [&table, weight, &sigma](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::feature_fold(tape, table, weight, in[0], kOffset, sigma).base};
  };
}

/// Solves a small system by Gauss-Jordan elimination, the textbook way.
std::vector<double> solve(std::vector<double> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t p = 0; p < n; ++p) {
    std::size_t best = p;
    for (std::size_t r = p; r < n; ++r)
      if (std::abs(a[r * n + p]) > std::abs(a[best * n + p])) best = r;
    for (std::size_t c = 0; c < n; ++c) std::swap(a[p * n + c], a[best * n + c]);
    std::swap(b[p], b[best]);
    for (std::size_t r = 0; r < n; ++r) {
      if (r == p) continue;
      const double factor = a[r * n + p] / a[p * n + p];
      for (std::size_t c = 0; c < n; ++c) a[r * n + c] -= factor * a[p * n + c];
      b[r] -= factor * b[p];
    }
  }
  for (std::size_t p = 0; p < n; ++p) b[p] /= a[p * n + p];
  return b;
}

TEST_CASE("feature_fold gives closed inputs' weights to the open ones by ridge regression") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const kernels::BlockTable& table = batch.table();
  const Tensor sigma = covariance(), gate = gates(table.network_count);
  const test::OpRun run = test::run_op({gate}, dtype, program(table, batch.weight, sigma), {});
  const Tensor weight = test::convert(batch.weight, DType::float64);
  std::vector<double> expected(weight.as<double>(), weight.as<double>() + table.edge_count);
  for (std::int64_t n = 0; n < table.network_count; ++n) {
    const kernels::Block& block = table.block[table.network[n].first_block];
    const auto feature_of = [](std::int64_t j) { return j == 0 ? 0 : j < 4 ? 1 : 2; };
    const auto open = [&](std::int64_t j) { return gate.as<double>()[n * kFeatures + feature_of(j)] > 0.5; };
    std::vector<std::int64_t> kept;
    double trace = 0.0;
    for (std::int64_t j = 0; j < kInputs; ++j)
      if (open(j)) {
        kept.push_back(j);
        trace += sigma.as<double>()[j * kInputs + j];
      }
    const std::size_t k = kept.size();
    for (std::int64_t r = 0; r < kInputs; ++r) {
      if (open(r)) continue;
      std::vector<double> a(k * k), b(k);
      for (std::size_t p = 0; p < k; ++p) {
        b[p] = sigma.as<double>()[r * kInputs + kept[p]];
        for (std::size_t q = 0; q < k; ++q) a[p * k + q] = sigma.as<double>()[kept[p] * kInputs + kept[q]];
        a[p * k + p] += 1e-3 * trace / static_cast<double>(k) + 1e-9;
      }
      const std::vector<double> beta = solve(a, b);
      for (std::int64_t i = 0; i < block.rows; ++i)
        for (std::size_t q = 0; q < k; ++q) {
          const std::int64_t row = block.edge_offset + i * kInputs;
          const double closed = 1.0 - gate.as<double>()[n * kFeatures + feature_of(r)];
          expected[static_cast<std::size_t>(row + kept[q])] += closed * weight.as<double>()[row + r] * beta[q];
        }
    }
  }
  CHECK(test::close("feature_fold", run.outputs[0], expected));
}

TEST_CASE("feature_fold has the gradients of finite differences, the regression held") {
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Tensor sigma = covariance();
  const auto check =
      test::gradcheck({gates(batch.table().network_count)}, [&](Tape& tape, const std::vector<Variable>& in) {
        return program(batch.table(), batch.weight, sigma)(tape, in)[0];
      });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("feature_fold with all features open is the identity, and zeros stay zeros") {
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const kernels::BlockTable& table = batch.table();
  const Tensor sigma = covariance();
  const Tensor open = test::random_tensor({table.network_count, kFeatures}, DType::float64, 1, 0.0, 1.0);
  CHECK(test::same_bits(test::run_op({open}, DType::float32, program(table, batch.weight, sigma), {}).outputs[0],
                        batch.weight));
  float* weight = batch.weight.as<float>();
  for (std::int64_t e = 0; e < table.edge_count; e += 3) weight[e] = 0.0f;
  const Tensor folded =
      test::run_op({gates(table.network_count)}, DType::float32, program(table, batch.weight, sigma), {}).outputs[0];
  bool changed = false;
  for (std::int64_t e = 0; e < table.edge_count; ++e) {
    if (weight[e] == 0.0f) CHECK(folded.as<float>()[e] == 0.0f);
    changed |= folded.as<float>()[e] != weight[e];
  }
  CHECK(changed);
}

TEST_CASE("feature_fold: the same bits for any number of threads") {
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const kernels::BlockTable& table = batch.table();
  const Tensor sigma = covariance(), gate = gates(table.network_count);
  const Tensor grad = test::random_tensor({table.edge_count}, DType::float64, 2);
  test::OpRun one;
  {
    const test::ThreadCount single(1);
    one = test::run_op({gate}, DType::float32, program(table, batch.weight, sigma), {grad});
  }
  const test::ThreadCount several(3);
  CHECK(test::same_bits(one, test::run_op({gate}, DType::float32, program(table, batch.weight, sigma), {grad})));
}

TEST_CASE("feature_deviation is C x, centred") {
  const Tensor x = test::random_tensor({7, 3}, DType::float64, 1),
               unique = test::random_tensor({3, 3}, DType::float64, 2);
  Tensor deviation({3, 5}, DType::float64);
  kernels::feature_deviation({.x = x, .unique = unique, .deviation = deviation}, Stream());
  for (std::int64_t j = 0; j < 3; ++j) {
    std::vector<double> value(5, 0.0);
    double mean = 0.0;
    for (std::size_t row = 0; row < 5; ++row) {
      for (std::int64_t k = 0; k < 3; ++k)
        value[row] += unique.as<double>()[j * 3 + k] * x.as<double>()[static_cast<std::int64_t>(row) * 3 + k];
      mean += value[row] / 5.0;
    }
    for (std::size_t row = 0; row < 5; ++row)
      CHECK(deviation.as<double>()[j * 5 + static_cast<std::int64_t>(row)] == Approx(value[row] - mean).margin(1e-12));
  }
}

TEST_CASE("cholesky refuses what is not positive definite") {
  double matrix[] = {1.0, 2.0, 2.0, 1.0}, right[] = {1.0, 1.0};
  CHECK_THROWS_AS(kernels::cpu::solve_positive_definite(2, 1, matrix, right), Error);
}

}  // namespace
}  // namespace amend
