#include "autograd/op/apply_edit.hpp"

#include <catch2/catch.hpp>
#include <cstring>

#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using kernels::Block;
using test::RandomBatch;

/// The original network as float64; weights are what `batch` holds.
struct Original {
  Tensor weight, bias, mean, scale;

  explicit Original(const RandomBatch& batch)
      : weight(test::convert(batch.weight, DType::float64)),
        bias(test::convert(batch.bias, DType::float64)),
        mean(test::random_tensor({batch.table().node_count}, DType::float64, 31, 0.7)),
        scale(test::random_tensor({batch.table().block_count}, DType::float64, 32, 0.2, 1.0)) {}
  Original(const Original& other, DType dtype)
      : weight(test::convert(other.weight, dtype)),
        bias(test::convert(other.bias, dtype)),
        mean(test::convert(other.mean, dtype)),
        scale(test::convert(other.scale, dtype)) {}

  op::OriginalNetwork views() const { return {weight, bias, mean, scale}; }
};

/// gate, residual, node_gate, bias_residual.
std::vector<Tensor> random_inputs(const kernels::BlockTable& table) {
  return {test::random_tensor({table.edge_count}, DType::float64, 33, 0.4, 0.7),
          test::random_tensor({table.edge_count}, DType::float64, 34, 0.3),
          test::random_tensor({table.node_count}, DType::float64, 35, 0.4, 0.7),
          test::random_tensor({table.node_count}, DType::float64, 36, 0.3)};
}

test::TapeProgram program(const kernels::BlockTable& table, const Original& original) {
  return [&table, &original](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    const op::EditedNetwork edited = op::apply_edit(tape, table, original.views(), in[0], in[1], in[2], in[3]);
    return {edited.weight, edited.bias};
  };
}

std::vector<Tensor> random_grads(const kernels::BlockTable& table) {
  return {test::random_tensor({table.edge_count}, DType::float64, 37),
          test::random_tensor({table.node_count}, DType::float64, 38)};
}

std::pair<std::vector<double>, std::vector<double>> oracle(const kernels::BlockTable& table, const Original& original,
                                                           const std::vector<Tensor>& in) {
  const double *w = original.weight.as<double>(), *bias = original.bias.as<double>(), *mu = original.mean.as<double>();
  const double *m = in[0].as<double>(), *residual = in[1].as<double>(), *node_gate = in[2].as<double>(),
               *bias_residual = in[3].as<double>();
  std::vector<double> weight(static_cast<std::size_t>(table.edge_count)),
      edited(static_cast<std::size_t>(table.node_count));
  for (std::int32_t b = 0; b < table.block_count; ++b) {
    const Block& block = table.block[b];
    const double scale = original.scale.as<double>()[b];
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const std::int64_t target = block.target_offset + i;
      double sum = bias[target] + scale * bias_residual[target];
      for (std::int64_t j = 0; j < block.cols; ++j) {
        const std::int64_t e = block.edge_offset + i * block.cols + j, source = block.source_offset + j;
        const double moved =
            w[e] == 0.0 ? 0.0 : node_gate[source] * node_gate[target] * m[e] * (w[e] + scale * residual[e]);
        weight[static_cast<std::size_t>(e)] = moved;
        sum += (w[e] - moved) * mu[source];
      }
      edited[static_cast<std::size_t>(target)] = node_gate[target] * sum;
    }
  }
  return {weight, edited};
}

TEST_CASE("apply_edit agrees with the formula, weight by weight") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Original original(batch), typed(original, dtype);
  const std::vector<Tensor> inputs = random_inputs(batch.table());
  const test::OpRun run = test::run_op(inputs, dtype, program(batch.table(), typed), {});
  const auto [weight, bias] = oracle(batch.table(), original, inputs);
  CHECK(test::close("apply_edit", run.outputs[0], weight));
  CHECK(test::close("apply_edit", run.outputs[1], bias));
}

TEST_CASE("apply_edit with open gates and no residual is the identity, bit for bit") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Original original(Original(batch), dtype);
  std::vector<Tensor> in = random_inputs(batch.table());
  for (std::size_t i = 0; i < 4; ++i)
    in[i] = test::random_tensor(in[i].view().shape, DType::float64, 1, 0.0, i % 2 == 0 ? 1.0 : 0.0);
  const test::OpRun run = test::run_op(in, dtype, program(batch.table(), original), {});
  CHECK(test::same_bits(run.outputs[0], original.weight));
  CHECK(test::same_bits(run.outputs[1], original.bias));
}

TEST_CASE("apply_edit has the gradients of finite differences") {
  const bool large = GENERATE(false, true);
  const RandomBatch batch =
      test::random_batch(large ? test::kRagged : test::kRaggedSmall, Activation::relu, DType::float64, 5);
  const Original original(batch);
  for (int which : {0, 1, 2}) {
    const auto check = test::gradcheck(random_inputs(batch.table()),
                                       [&](Tape& tape, const std::vector<Variable>& in) {
                                         const auto results = program(batch.table(), original)(tape, in);
                                         return which < 2 ? results[static_cast<std::size_t>(which)]
                                                          : test::project(tape, results, 11);
                                       },
                                       {.max_elements = large ? 20 : 200});
    INFO("result " << which << ": " << check.message);
    CHECK(check.ok);
  }
}

TEST_CASE("apply_edit in float32 has the gradients of float64") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Original original(batch), narrow(original, DType::float32);
  const auto run = [&](DType dtype, const Original& network) {
    return test::run_op(random_inputs(batch.table()), dtype, program(batch.table(), network),
                        random_grads(batch.table()));
  };
  CHECK(test::gradients_close("apply_edit", run(DType::float32, narrow), run(DType::float64, original)));
}

TEST_CASE("apply_edit: a network has the same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Original original(Original(batch), dtype);
  const std::vector<Tensor> in = random_inputs(batch.table()), grads = random_grads(batch.table());
  test::OpRun all;
  {
    const test::ThreadCount one(1);
    all = test::run_op(in, dtype, program(batch.table(), original), grads);
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(all, test::run_op(in, dtype, program(batch.table(), original), grads)));
  }
  for (std::int64_t b = 0; b < batch.table().network_count; ++b) {
    const kernels::Network& network = batch.table().network[b];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(b)]}, DType::float64);
    const auto edges = [&](const Tensor& x) {
      return test::convert(slice_rows(x, network.edge_offset, network.edge_count), x.view().dtype);
    };
    const auto nodes = [&](const Tensor& x) {
      return test::convert(slice_rows(x, network.node_offset, network.node_count), x.view().dtype);
    };
    Original own = original;
    own.weight = edges(original.weight);
    own.bias = nodes(original.bias);
    own.mean = nodes(original.mean);
    own.scale = test::convert(slice_rows(original.scale, network.first_block, network.block_count), dtype);
    const test::OpRun single = test::run_op({edges(in[0]), edges(in[1]), nodes(in[2]), nodes(in[3])}, dtype,
                                            program(alone.table(), own), {edges(grads[0]), nodes(grads[1])});
    CHECK(test::same_bits(single.outputs[0], edges(all.outputs[0])));
    CHECK(test::same_bits(single.outputs[1], nodes(all.outputs[1])));
    for (std::size_t i : {0u, 1u}) CHECK(test::same_bits(single.gradients[i], edges(all.gradients[i])));
    for (std::size_t i : {2u, 3u}) CHECK(test::same_bits(single.gradients[i], nodes(all.gradients[i])));
  }
}

TEST_CASE("apply_edit: no networks, and mistakes name the argument") {
  const RandomBatch none = test::make_batch({}, DType::float64);
  const Original nothing(none);
  CHECK(test::run_op(random_inputs(none.table()), DType::float64, program(none.table(), nothing),
                     random_grads(none.table()))
            .outputs[0]
            .count() == 0);

  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float64, 1);
  const char* names[] = {"gate", "residual", "node_gate", "bias_residual"};
  const Original original(batch);
  for (std::size_t i = 0; i < 4; ++i) {
    std::vector<Tensor> in = random_inputs(batch.table());
    in[i] = Tensor({in[i].count() + 1}, DType::float64);
    CHECK_THAT(test::error_of([&] { test::run_op(in, DType::float64, program(batch.table(), original), {}); }),
               Catch::Contains("[apply_edit] expected `" + std::string(names[i]) + "` of shape"));
  }
  Original wrong = original;
  wrong.scale = Tensor({5}, DType::float64);
  CHECK_THAT(test::error_of([&] {
               test::run_op(random_inputs(batch.table()), DType::float64, program(batch.table(), wrong), {});
             }),
             Catch::Contains("`scale` of shape (2), got (5)"));
}

const Tensor kFeatureOfInput = test::make_tensor({5}, DType::int32, {0, 1, 1, 1, 2});

/// feature_gate, neuron_gate, either of them absent.
test::TapeProgram node_gates(const kernels::BlockTable& table, bool features, bool neurons) {
  return [&table, features, neurons](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::node_gate(tape, table, in[0].dtype(), features ? in[0] : Variable(), kFeatureOfInput,
                          neurons ? in[1] : Variable())};
  };
}

TEST_CASE("node_gate spreads the gates of features and neurons") {
  const bool features = GENERATE(false, true), neurons = GENERATE(false, true);
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 3);
  const kernels::BlockTable& table = batch.table();
  const std::vector<Tensor> in = {test::random_tensor({4, 3}, DType::float64, 1),
                                  test::random_tensor({table.hidden_count}, DType::float64, 2)};
  std::vector<double> expected;
  std::int64_t hidden = 0;
  for (std::int64_t n = 0; n < 4; ++n) {
    const auto& widths = batch.networks[static_cast<std::size_t>(n)].widths;
    for (int i = 0; i < 5; ++i)
      expected.push_back(features ? test::Matrix(in[0])(n, kFeatureOfInput.as<std::int32_t>()[i]) : 1.0);
    for (std::size_t layer = 1; layer + 1 < widths.size(); ++layer)
      for (int i = 0; i < widths[layer]; ++i, ++hidden) expected.push_back(neurons ? in[1].as<double>()[hidden] : 1.0);
    expected.insert(expected.end(), {1.0, 1.0});
  }
  const test::OpRun run = test::run_op(in, DType::float64, node_gates(table, features, neurons), {});
  CHECK(test::values(run.outputs[0]) == expected);
  if (!features && !neurons) return;  // a constant
  const auto check = test::gradcheck(in, [&](Tape& tape, const std::vector<Variable>& leaves) {
    return node_gates(table, features, neurons)(tape, leaves)[0];
  });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("node_gate names the argument that does not fit") {
  const RandomBatch batch = test::random_batch({{5, 4, 2}}, Activation::relu, DType::float64, 3);
  const auto error_with = [&](Shape features, Shape neurons) {
    return test::error_of([&] {
      test::run_op({Tensor(features, DType::float64), Tensor(neurons, DType::float64)}, DType::float64,
                   node_gates(batch.table(), true, true), {});
    });
  };
  CHECK(error_with({1, 3}, {4}).empty());
  CHECK_THAT(error_with({1, 3}, {5}), Catch::Contains("`neuron_gate` of shape (4), got (5)"));
  CHECK_THAT(error_with({2, 3}, {4}), Catch::Contains("expected feature gates of 1 networks, got (2, 3)"));
  CHECK_THAT(error_with({1, 2}, {4}), Catch::Contains("expected `input_feature` in 0 .. 1, got 2"));
}

TEST_CASE("hidden_rows picks the hidden neurons and sends their gradient back") {
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 3);
  const kernels::BlockTable& table = batch.table();
  const Tensor x = test::random_tensor({table.node_count}, DType::float64, 1);
  Tensor y({table.hidden_count}, DType::float64), grad_x = test::convert(x, DType::float64);
  kernels::hidden_rows_forward({.table = table, .x = x, .y = y}, Stream{});
  kernels::hidden_rows_backward({.table = table, .grad_y = y, .grad_x = grad_x}, Stream{});
  std::vector<double> expected, doubled = test::values(x);
  for (std::int64_t n = 0; n < 4; ++n) {
    const kernels::Network& network = table.network[n];
    for (std::int64_t k = network.inputs; k < network.node_count - network.outputs; ++k) {
      const auto node = static_cast<std::size_t>(network.node_offset + k);
      expected.push_back(doubled[node]);
      doubled[node] *= 2.0;
    }
  }
  CHECK(test::values(y) == expected);
  CHECK(test::values(grad_x) == doubled);
  CHECK_THROWS_WITH(kernels::hidden_rows_forward({.table = table, .x = y, .y = y}, Stream{}), Catch::Contains("`x`"));
}

}  // namespace
}  // namespace amend
