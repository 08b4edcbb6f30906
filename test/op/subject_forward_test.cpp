#include "autograd/op/subject_forward.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "engine/copy.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/subject_oracle.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using test::RandomBatch;

static_assert(static_cast<int>(kernels::SubjectActivation::relu) == static_cast<int>(Activation::relu));
static_assert(static_cast<int>(kernels::SubjectActivation::tanh) == static_cast<int>(Activation::tanh));
static_assert(static_cast<int>(kernels::SubjectActivation::silu) == static_cast<int>(Activation::silu));
static_assert(static_cast<int>(kernels::SubjectActivation::sigmoid) == static_cast<int>(Activation::sigmoid));

constexpr Activation kActivations[] = {Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid};
const std::vector<std::vector<int>> kMixed = {{7, 5, 3, 2}, {7, 2}, {7, 9, 2}, {7, 4, 6, 3, 2}};

/// Everything a pass and its gradient produce.
struct Run {
  Tensor activation, slope, logits, grad_weight, grad_bias;
};

Run run(const RandomBatch& batch, const TensorView& x, const TensorView& row_index, const TensorView& grad_logits,
        std::uint64_t x_id = 0) {
  const kernels::BlockTable& table = batch.table();
  const std::int64_t rows = grad_logits.extent(1);
  Run r{Tensor({table.hidden_count, rows}, x.dtype), Tensor({table.hidden_count, rows}, x.dtype),
        Tensor(grad_logits.shape, x.dtype), Tensor({table.edge_count}, x.dtype), Tensor({table.node_count}, x.dtype)};
  const kernels::SubjectForward forward{.table = table,
                                        .weight = batch.weight,
                                        .bias = batch.bias,
                                        .x = x,
                                        .x_id = x_id,
                                        .row_index = row_index,
                                        .activation = r.activation,
                                        .slope = r.slope,
                                        .logits = r.logits};
  kernels::subject_forward(forward, Stream{});
  kernels::subject_backward(
      {.forward = forward, .grad_logits = grad_logits, .grad_weight = r.grad_weight, .grad_bias = r.grad_bias},
      Stream{});
  return r;
}

bool same_outputs(const Run& a, const Run& b) {
  return test::same_bits(a.activation, b.activation) && test::same_bits(a.slope, b.slope) &&
         test::same_bits(a.logits, b.logits);
}

bool same(const Run& a, const Run& b) {
  return same_outputs(a, b) && test::same_bits(a.grad_weight, b.grad_weight) &&
         test::same_bits(a.grad_bias, b.grad_bias);
}

/// Four networks on 300 rows against networks run row by row in float64.
void check_against_oracle(const RandomBatch& batch, const Tensor& x, bool indexed, std::uint64_t id) {
  const DType dtype = x.view().dtype;
  const std::int64_t inputs = x.view().extent(1), rows = indexed ? 270 : 300;
  const Tensor index = test::random_integers({4, rows}, 300, 2);
  const Tensor grad = test::random_tensor({4, rows, 2}, dtype, 4);
  const Run got = run(batch, x, indexed ? index.view() : TensorView{}, grad, id);

  std::vector<double> activations(test::values(got.activation).size()), slopes(activations.size()),
      logits(test::values(got.logits).size()), grad_weight(test::values(got.grad_weight).size()),
      grad_bias(test::values(got.grad_bias).size());
  const std::vector<double> xs = test::values(x), grads = test::values(grad);
  for (std::int64_t b = 0; b < 4; ++b) {
    const kernels::Network& network = batch.table().network[b];
    const SubjectNetwork& subject = batch.networks[static_cast<std::size_t>(b)];
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t row = indexed ? index.as<std::int32_t>()[b * rows + r] : r;
      const test::SubjectOracle oracle(subject, xs.data() + row * inputs);
      std::int64_t hidden = network.hidden_offset;
      for (std::size_t layer = 1; layer + 1 < oracle.activation.size(); ++layer) {
        const auto width = static_cast<std::int64_t>(oracle.activation[layer].size());
        for (std::int64_t i = 0; i < width; ++i) {
          const auto at = static_cast<std::size_t>(hidden * rows + r * width + i);
          activations[at] = oracle.activation[layer][static_cast<std::size_t>(i)];
          slopes[at] = oracle.slope[layer][static_cast<std::size_t>(i)];
        }
        hidden += width;
      }
      const auto out = static_cast<std::size_t>((b * rows + r) * 2);
      logits[out] = oracle.activation.back()[0];
      logits[out + 1] = oracle.activation.back()[1];
      const auto delta = oracle.gradient({grads[out], grads[out + 1]});
      auto edge = static_cast<std::size_t>(network.edge_offset);
      auto node = static_cast<std::size_t>(network.node_offset + network.inputs);
      for (std::size_t layer = 1; layer < delta.size(); ++layer)
        for (double d : delta[layer]) {
          grad_bias[node++] += d;
          for (double source : oracle.activation[layer - 1]) grad_weight[edge++] += d * source;
        }
    }
  }
  const auto close = [dtype](const char* name, const TensorView& a, const std::vector<double>& b) {
    return test::largest_difference(test::values(a), b) <= test::tolerance(name, dtype, test::largest(b));
  };
  CHECK(close("subject_forward", got.activation, activations));
  CHECK(close("subject_forward", got.slope, slopes));
  CHECK(close("subject_forward", got.logits, logits));
  CHECK(close("subject_backward", got.grad_weight, grad_weight));
  CHECK(close("subject_backward", got.grad_bias, grad_bias));
}

TEST_CASE("subject_forward agrees with a scalar network, layer by layer") {
  const Activation activation = GENERATE(from_range(std::begin(kActivations), std::end(kActivations)));
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool indexed = GENERATE(false, true), kept = GENERATE(false, true);
  check_against_oracle(test::random_batch(kMixed, activation, dtype, 3), test::random_tensor({300, 7}, dtype, 1),
                       indexed, kept ? kernels::new_x_id() : 0);
}

TEST_CASE("subject_forward agrees with a scalar network on rows that are mostly zeros") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool indexed = GENERATE(false, true), kept = GENERATE(false, true);
  const RandomBatch batch =
      test::random_batch({{45, 33, 3, 2}, {45, 2}, {45, 16, 2}, {45, 70, 2}}, Activation::relu, dtype, 3);
  check_against_oracle(batch, test::one_hot_rows(300, {1, 1, 30, 1, 12}, dtype, 1), indexed,
                       kept ? kernels::new_x_id() : 0);
}

TEST_CASE("subject_forward: leaving out zeros changes no bit, and what is kept about rows is about those rows") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch =
      test::random_batch({{45, 33, 3, 2}, {45, 2}, {45, 16, 2}, {45, 70, 2}}, Activation::silu, dtype, 3);
  const Tensor mixed = test::random_tensor({256, 45}, dtype, 5),
               sparse = test::one_hot_rows(50, {1, 1, 30, 1, 12}, dtype, 1);
  copy(slice_rows(mixed, 0, 50), sparse, Stream{});
  const Tensor grad = test::random_tensor({4, 256, 2}, dtype, 4), grad_50 = test::random_tensor({4, 50, 2}, dtype, 4);
  // With dense rows in one tile, the 50 rows go the dense way.
  const Run dense = run(batch, mixed, {}, grad), alone = run(batch, sparse, {}, grad_50);
  for (std::int64_t n = 0; n < 4; ++n)
    CHECK(test::same_bits(slice_rows(reshape(alone.logits, {200, 2}), 50 * n, 50),
                          slice_rows(reshape(dense.logits, {1024, 2}), 256 * n, 50)));

  for (int turn = 0; turn < 2; ++turn)
    for (std::uint64_t seed : {11, 12, 13}) {
      const Tensor x = test::one_hot_rows(50, {1, 1, 30, 1, 12}, dtype, seed);
      const std::uint64_t id = kernels::new_x_id();
      const Run plain = run(batch, x, {}, grad_50);
      // Where rows are kept gradients are summed by columns: in another order.
      const Run kept = run(batch, x, {}, grad_50, id);
      CHECK(same_outputs(plain, kept));
      CHECK(test::close("subject_backward", kept.grad_weight, test::values(plain.grad_weight)));
      CHECK(test::same_bits(plain.grad_bias, kept.grad_bias));
      CHECK(same(kept, run(batch, x, {}, grad_50, id)));
      const Tensor index = test::random_integers({4, 50}, 50, seed);
      CHECK(same(run(batch, x, index, grad_50), run(batch, x, index, grad_50, id)));
    }
}

TEST_CASE("subject_forward: what is kept about rows of one type outlives rows of the other") {
  const auto batch_of = [](DType dtype) { return test::random_batch({{45, 33, 2}}, Activation::silu, dtype, 3); };
  const RandomBatch narrow = batch_of(DType::float32), wide = batch_of(DType::float64);
  const Tensor x = test::one_hot_rows(50, {1, 1, 30, 1, 12}, DType::float32, 1),
               other = test::one_hot_rows(50, {1, 30, 1, 1, 12}, DType::float64, 2),
               grad = test::random_tensor({1, 50, 2}, DType::float32, 4),
               other_grad = test::random_tensor({1, 50, 2}, DType::float64, 4);
  const std::uint64_t id = kernels::new_x_id();
  const Run before = run(narrow, x, {}, grad, id);
  for (int turn = 0; turn < 2; ++turn) (void)run(wide, other, {}, other_grad, kernels::new_x_id());
  CHECK(same(before, run(narrow, x, {}, grad, id)));
}

TEST_CASE("subject_forward: rows by index from tiles with and without zeros") {
  const RandomBatch batch = test::random_batch({{45, 33, 2}, {45, 16, 2}}, Activation::relu, DType::float32, 3);
  const Tensor x = test::random_tensor({600, 45}, DType::float32, 5);
  copy(slice_rows(x, 0, 512), test::one_hot_rows(512, {1, 1, 30, 1, 12}, DType::float32, 1), Stream{});
  Tensor index = test::random_integers({2, 300}, 600, 6);
  for (int i = 0; i < 300; ++i) index.as<std::int32_t>()[i] %= 512;  // the first network's: without dense rows
  const Tensor grad = test::random_tensor({2, 300, 2}, DType::float32, 4);
  CHECK(same(run(batch, x, index, grad), run(batch, x, index, grad, kernels::new_x_id())));
}

TEST_CASE("subject_forward: a value that is not a number is not left out") {
  const RandomBatch batch = test::random_batch({{45, 16, 2}}, Activation::tanh, DType::float32, 3);
  const Tensor x = test::one_hot_rows(20, {1, 1, 30, 1, 12}, DType::float32, 1);
  x.as<float>()[7 * 45 + 20] = std::numeric_limits<float>::quiet_NaN();
  const Run got = run(batch, x, {}, test::random_tensor({1, 20, 2}, DType::float32, 4));
  CHECK(std::isnan(got.logits.as<float>()[14]));
  CHECK(std::isfinite(got.logits.as<float>()[16]));
}

TEST_CASE("subject_forward has the gradients of finite differences") {
  const Activation activation = GENERATE(from_range(std::begin(kActivations), std::end(kActivations)));
  const RandomBatch batch = test::random_batch(kMixed, activation, DType::float64, 5);
  const Tensor x = test::random_tensor({20, 7}, DType::float64, 1);
  const Tensor index = test::random_integers({4, 11}, 20, 2);
  const auto check = test::gradcheck({batch.weight, batch.bias}, [&](Tape& tape, const std::vector<Variable>& in) {
    return op::subject_forward(tape, batch.table(), in[0], in[1], x, index).logits;
  });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("subject_forward: a network has the same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t rows = 700;
  const RandomBatch batch = test::random_batch(
      {{30, 32, 16, 2}, {30, 9, 2}, {30, 32, 16, 2}, {30, 2}, {30, 40, 7, 5, 2}}, Activation::silu, dtype, 7);
  const Tensor x = test::random_tensor({rows, 30}, dtype, 1), grad = test::random_tensor({5, rows, 2}, dtype, 4);
  Run all;
  {
    const test::ThreadCount one(1);
    all = run(batch, x, {}, grad);
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(same(all, run(batch, x, {}, grad)));
  }
  for (std::int64_t b = 0; b < 5; ++b) {
    const kernels::Network& network = batch.table().network[b];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(b)]}, dtype);
    const Run single = run(alone, x, {}, slice_rows(grad, b, 1));
    CHECK(test::same_bits(single.logits, slice_rows(all.logits, b, 1)));
    CHECK(test::same_bits(single.activation, slice_rows(all.activation, network.hidden_offset, network.hidden_count)));
    CHECK(test::same_bits(single.grad_weight, slice_rows(all.grad_weight, network.edge_offset, network.edge_count)));
    CHECK(test::same_bits(single.grad_bias, slice_rows(all.grad_bias, network.node_offset, network.node_count)));
  }
}

TEST_CASE("subject_forward without stored activations gives the same logits") {
  const RandomBatch batch = test::random_batch(kMixed, Activation::relu, DType::float32, 9);
  const Tensor x = test::random_tensor({300, 7}, DType::float32, 1);
  Arena arena;
  Tape tape(arena, Stream{});
  tape.set_recording(false);
  const Variable weight = tape.constant(batch.weight), bias = tape.constant(batch.bias);
  const op::SubjectPass bare = op::subject_forward(tape, batch.table(), weight, bias, x);
  const op::SubjectPass kept = op::subject_forward(tape, batch.table(), weight, bias, x, {}, true);
  CHECK_FALSE(bare.activation);
  CHECK(kept.activation);
  CHECK(test::same_bits(bare.logits.value(), kept.logits.value()));
}

TEST_CASE("subject_backward adds, and takes what it is asked for") {
  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::tanh, DType::float64, 9);
  const Tensor x = test::random_tensor({5, 3}, DType::float64, 1),
               grad = test::random_tensor({1, 5, 2}, DType::float64, 2);
  const Run once = run(batch, x, {}, grad);
  Run twice = once;
  twice.grad_weight = test::convert(once.grad_weight, DType::float64);
  const kernels::SubjectForward forward{.table = batch.table(),
                                        .weight = batch.weight,
                                        .bias = batch.bias,
                                        .x = x,
                                        .activation = once.activation,
                                        .slope = once.slope,
                                        .logits = once.logits};
  kernels::subject_backward({.forward = forward, .grad_logits = grad, .grad_weight = twice.grad_weight}, Stream{});
  for (std::int64_t e = 0; e < batch.table().edge_count; ++e)
    CHECK(twice.grad_weight.as<double>()[e] == 2.0 * once.grad_weight.as<double>()[e]);
}

TEST_CASE("subject_forward: no networks, one row, large weights, rows out of range") {
  const DType dtype = DType::float32;
  const Tensor x = test::random_tensor({1, 7}, dtype, 1);
  const RandomBatch none = test::make_batch({}, dtype);
  CHECK_NOTHROW(run(none, x, {}, Tensor({0, 1, 2}, dtype)));

  const Activation activation = GENERATE(from_range(std::begin(kActivations), std::end(kActivations)));
  RandomBatch huge = test::random_batch(kMixed, activation, dtype, 3);
  for (std::int64_t e = 0; e < huge.weight.count(); ++e) huge.weight.as<float>()[e] *= 1e6f;
  const Run r = run(huge, x, {}, test::random_tensor({4, 1, 2}, dtype, 2));
  for (const Tensor& result : {r.logits, r.slope, r.grad_weight})
    for (double value : test::values(result)) CHECK(std::isfinite(value));

  const Tensor outside = test::make_tensor({4, 1}, DType::int32, {0, 0, 1, 0});
  CHECK_THROWS_WITH(run(huge, x, outside, Tensor({4, 1, 2}, dtype)), Catch::Contains("row index 1"));
}

}  // namespace
}  // namespace amend
