#include "autograd/op/node_update.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/cpu/vector/functions.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using test::RandomBatch;

struct Widths {
  std::int64_t node = 6, aggregate = 4, inner = 7, condition = 3;
};

/// node, aggregate, condition, weight1, bias1, weight2, bias2, alpha.
std::vector<Tensor> random_inputs(const kernels::BlockTable& table, const Widths& of = {}) {
  auto random = [seed = std::uint64_t{20}](Shape shape, double scale) mutable {
    return test::random_tensor(shape, DType::float64, seed++, scale, 0.1);
  };
  const std::int64_t in = of.node + of.aggregate + of.condition;
  const double scale = 1.4 / std::sqrt(static_cast<double>(in));
  return {random({table.node_count, of.node}, 1.0),
          random({table.node_count, of.aggregate}, 1.0),
          random({table.network_count, of.condition}, 1.0),
          random({of.inner, in}, scale),
          random({of.inner}, 0.4),
          random({of.node, of.inner}, scale),
          random({of.node}, 0.4),
          random({table.network_count, of.node}, 1.0)};
}

test::TapeProgram program(const kernels::BlockTable& table) {
  return [&table](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::node_update(tape, table, in[0], in[1], in[2],
                            {.weight1 = in[3], .bias1 = in[4], .weight2 = in[5], .bias2 = in[6]}, in[7])};
  };
}

std::vector<double> oracle(const kernels::BlockTable& table, const std::vector<Tensor>& in) {
  const test::Matrix node(in[0]), aggregate(in[1]), condition(in[2]), weight1(in[3]), weight2(in[5]), alpha(in[7]);
  const std::vector<double> bias1 = test::values(in[4]), bias2 = test::values(in[6]);
  const std::int64_t nodes = node.width, inner = weight2.width;
  test::Matrix out(table.node_count, nodes);
  for (std::int32_t n = 0; n < table.network_count; ++n) {
    const kernels::Network& network = table.network[n];
    for (std::int64_t row = network.node_offset; row < network.node_offset + network.node_count; ++row) {
      std::vector<double> x;
      for (std::int64_t i = 0; i < nodes; ++i) x.push_back(node(row, i));
      for (std::int64_t i = 0; i < aggregate.width; ++i) x.push_back(aggregate(row, i));
      for (std::int64_t i = 0; i < condition.width; ++i) x.push_back(condition(n, i));
      double mean = 0.0, variance = 0.0;
      for (double value : x) mean += value / static_cast<double>(x.size());
      for (double value : x) variance += (value - mean) * (value - mean) / static_cast<double>(x.size());
      std::vector<double> hidden;
      for (std::int64_t f = 0; f < inner; ++f) {
        double sum = bias1[static_cast<std::size_t>(f)];
        for (std::size_t i = 0; i < x.size(); ++i)
          sum += weight1(f, static_cast<std::int64_t>(i)) * (x[i] - mean) / std::sqrt(variance + 1e-5);
        hidden.push_back(sum / (1.0 + std::exp(-sum)));
      }
      for (std::int64_t i = 0; i < nodes; ++i) {
        double sum = bias2[static_cast<std::size_t>(i)];
        for (std::int64_t f = 0; f < inner; ++f) sum += weight2(i, f) * hidden[static_cast<std::size_t>(f)];
        out(row, i) = node(row, i) + alpha(n, i) * sum;
      }
    }
  }
  return out.data;
}

/// The last has more nodes than one tile.
std::vector<std::vector<int>> with_large() {
  std::vector<std::vector<int>> widths = test::kRagged;
  widths.push_back({5, 300, 20, 2});
  return widths;
}

TEST_CASE("node_update agrees with the formula, node by node, for every instruction set") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Widths widths = GENERATE(Widths{}, Widths{.condition = 0}, Widths{32, 64, 64, 32}, Widths{40, 24, 75, 17});
  const RandomBatch batch = test::random_batch(with_large(), Activation::relu, dtype, 3);
  const std::vector<Tensor> inputs = random_inputs(batch.table(), widths);
  const std::vector<double> expected = oracle(batch.table(), inputs);
  const auto& before = kernels::cpu::vector_functions();
  for (const auto* functions : kernels::cpu::supported_vector_functions()) {
    kernels::cpu::use_vector_functions(*functions);
    INFO(functions->target);
    const test::OpRun run = test::run_op(inputs, dtype, program(batch.table()), {});
    CHECK(test::close("node_update", run.outputs[0], expected));
  }
  kernels::cpu::use_vector_functions(before);
}

TEST_CASE("node_update of rows far from 0") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  std::vector<Tensor> inputs = random_inputs(batch.table(), {32, 64, 64, 32});
  for (std::size_t i : {0u, 1u, 2u}) {  // as float32 holds them
    std::vector<double> far = test::values(inputs[i]);
    for (double& x : far) x = static_cast<double>(static_cast<float>(x + 20.0));
    inputs[i] = test::make_tensor(inputs[i].view().shape, DType::float64, far);
  }
  const test::OpRun run = test::run_op(inputs, DType::float32, program(batch.table()), {});
  CHECK(test::close("node_update", run.outputs[0], oracle(batch.table(), inputs)));
}

TEST_CASE("node_update has the gradients of finite differences") {
  const bool large = GENERATE(false, true);
  const RandomBatch batch =
      test::random_batch(large ? with_large() : test::kRaggedSmall, Activation::relu, DType::float64, 5);
  const auto check =
      test::gradcheck(random_inputs(batch.table()),
                      [&](Tape& tape, const std::vector<Variable>& in) { return program(batch.table())(tape, in)[0]; },
                      {.max_elements = large ? 15 : 200});
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("node_update in float32 has the gradients of float64") {
  const RandomBatch batch = test::random_batch(with_large(), Activation::relu, DType::float64, 3);
  const std::vector<Tensor> in = random_inputs(batch.table());
  const Tensor grad = test::random_tensor({batch.table().node_count, Widths{}.node}, DType::float64, 2);
  const auto run = [&](DType dtype) { return test::run_op(in, dtype, program(batch.table()), {grad}); };
  CHECK(test::gradients_close("node_update", run(DType::float32), run(DType::float64)));
}

TEST_CASE("node_update: a network has the same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch(with_large(), Activation::relu, dtype, 3);
  const std::vector<Tensor> in = random_inputs(batch.table());
  const Tensor grad = test::random_tensor({batch.table().node_count, Widths{}.node}, dtype, 2);
  test::OpRun all;
  {
    const test::ThreadCount one(1);
    all = test::run_op(in, dtype, program(batch.table()), {grad});
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(all, test::run_op(in, dtype, program(batch.table()), {grad})));
  }
  for (std::int64_t b = 0; b < batch.table().network_count; ++b) {
    const kernels::Network& network = batch.table().network[b];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(b)]}, dtype);
    const auto nodes = [&](const Tensor& x) { return slice_rows(x, network.node_offset, network.node_count); };
    std::vector<Tensor> own = in;
    for (std::size_t i : {0u, 1u}) own[i] = test::convert(nodes(in[i]), dtype);
    for (std::size_t i : {2u, 7u}) own[i] = test::convert(slice_rows(in[i], b, 1), dtype);
    const test::OpRun single = test::run_op(own, dtype, program(alone.table()), {test::convert(nodes(grad), dtype)});
    CHECK(test::same_bits(single.outputs[0], nodes(all.outputs[0])));
    for (std::size_t i : {0u, 1u}) CHECK(test::same_bits(single.gradients[i], nodes(all.gradients[i])));
    for (std::size_t i : {2u, 7u}) CHECK(test::same_bits(single.gradients[i], slice_rows(all.gradients[i], b, 1)));
  }
}

TEST_CASE("node_update: a network depends on its own condition only") {
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 3);
  std::vector<Tensor> in = random_inputs(batch.table());
  const test::OpRun before = test::run_op(in, DType::float64, program(batch.table()), {});
  for (int i = 0; i < 3; ++i) in[2].as<double>()[3 + i] += 1.0;
  const test::OpRun after = test::run_op(in, DType::float64, program(batch.table()), {});
  for (std::int64_t b = 0; b < 4; ++b) {
    const kernels::Network& network = batch.table().network[b];
    CHECK(test::same_bits(slice_rows(before.outputs[0], network.node_offset, network.node_count),
                          slice_rows(after.outputs[0], network.node_offset, network.node_count)) == (b != 1));
  }
}

TEST_CASE("node_update: no networks, and mistakes name the argument") {
  const RandomBatch none = test::make_batch({}, DType::float64);
  const test::OpRun empty = test::run_op(random_inputs(none.table()), DType::float64, program(none.table()),
                                         {Tensor({0, Widths{}.node}, DType::float64)});
  CHECK(empty.outputs[0].count() == 0);
  CHECK(test::largest(test::values(empty.gradients[3])) == 0.0);

  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float64, 1);
  // `node`, `aggregate` and `condition` set the widths: the weight that no longer fits is named.
  const char* blamed[] = {"weight1", "weight1", "weight1", "weight1", "bias1", "weight2", "bias2", "alpha"};
  for (std::size_t i = 0; i < 8; ++i) {
    std::vector<Tensor> in = random_inputs(batch.table());
    const Shape shape = in[i].view().shape;
    in[i] = Tensor(shape.rank() == 1 ? Shape{shape[0] + 1} : Shape{shape[0], shape[1] + 1}, DType::float64);
    CHECK_THAT(test::error_of([&] { test::run_op(in, DType::float64, program(batch.table()), {}); }),
               Catch::Contains("[node_update] expected `" + std::string(blamed[i]) + "` of shape"));
  }
}

}  // namespace
}  // namespace amend
