#include "autograd/op/edge_embed_update.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/op/edge_embed.hpp"
#include "kernels/cpu/vector/functions.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/random_features.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using kernels::Precision;
using test::RandomBatch;
using test::RandomFeatures;

/// weight and bias of the embedding, projection, weight_c, weight_g, modulation.
std::vector<Tensor> random_inputs(const kernels::BlockTable& table, std::int64_t d, std::int64_t width,
                                  DType dtype = DType::float64) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(d));
  return {test::random_tensor({d, width}, dtype, 1, 0.2),
          test::random_tensor({d}, dtype, 2, 0.5),
          test::random_tensor({table.node_count, 4 * d}, dtype, 3),
          test::random_tensor({d, d}, dtype, 4, scale),
          test::random_tensor({d, d}, dtype, 5, scale),
          test::random_tensor({table.network_count, 3 * d}, dtype, 6, 0.5, 0.7)};
}

std::vector<Tensor> random_grads(const kernels::BlockTable& table, std::int64_t d, DType dtype = DType::float64) {
  return {test::random_tensor({table.edge_count, d}, dtype, 7),
          test::random_tensor({table.node_count, 2 * d}, dtype, 8)};
}

test::TapeProgram fused(const kernels::BlockTable& table, const kernels::EdgeInput& features,
                        Precision precision = Precision::float32) {
  return [=, &table](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    const auto result =
        op::edge_embed_update(tape, table, features, in[0], in[1], in[2], in[3], in[4], in[5], precision);
    return {result.edge, result.aggregate};
  };
}

test::TapeProgram in_turn(const kernels::BlockTable& table, const kernels::EdgeInput& features,
                          Precision precision = Precision::float32) {
  return [=, &table](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    const Variable edge = op::edge_embed(tape, table, features, in[0], in[1]);
    const auto result = op::edge_update(tape, table, edge, in[2], in[3], in[4], in[5], precision);
    return {result.edge, result.aggregate};
  };
}

TEST_CASE("edge_embed_update is edge_embed and edge_update in turn, for every instruction set") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t d = GENERATE(1, 5, 16, 32, 40, 64);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const kernels::BlockTable& table = batch.table();
  const RandomFeatures wide(table, DType::float64, 2, true), own(table, dtype, 2, true);
  const auto& before = kernels::cpu::vector_functions();
  for (const bool refine : {false, true}) {
    const auto features = [&](const RandomFeatures& of) { return refine ? of.refine() : of.first(); };
    const std::vector<Tensor> in = random_inputs(table, d, features(wide).width()), grads = random_grads(table, d);
    const test::OpRun expected = test::run_op(in, DType::float64, in_turn(table, features(wide)), grads);
    for (const auto* functions : kernels::cpu::supported_vector_functions()) {
      kernels::cpu::use_vector_functions(*functions);
      INFO(functions->target << ", " << d << " channels, " << features(own).width() << " features");
      const test::OpRun got = test::run_op(in, dtype, fused(table, features(own)), grads);
      for (std::size_t i : {0u, 1u})
        CHECK(test::close("edge_embed_update", got.outputs[i], test::values(expected.outputs[i])));
      for (std::size_t i = 0; i < in.size(); ++i) {
        INFO("gradient " << i);
        CHECK(test::close("edge_embed_update", got.gradients[i], test::values(expected.gradients[i])));
      }
    }
    kernels::cpu::use_vector_functions(before);
  }
}

TEST_CASE("edge_embed_update of rounded operands has the bits of edge_embed and edge_update in turn") {
  const Precision precision = GENERATE(Precision::tf32, Precision::bf16);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const RandomFeatures features(batch.table(), DType::float32, 1, true);
  const std::vector<Tensor> in = random_inputs(batch.table(), 16, kernels::kEdgeFeatures);
  const auto run = [&](const test::TapeProgram& program, std::vector<Tensor> grads) {
    return test::run_op(in, DType::float32, program, grads);
  };
  for (const bool both : {true, false}) {
    std::vector<Tensor> grads = random_grads(batch.table(), 16);
    if (!both) grads[0] = Tensor();  // then nobody has reached the states
    CHECK(test::same_bits(run(fused(batch.table(), features.first(), precision), grads),
                          run(in_turn(batch.table(), features.first(), precision), grads)));
  }
}

TEST_CASE("edge_embed_update has the gradients of finite differences") {
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 5);
  const RandomFeatures features(batch.table(), DType::float64, 1, true);
  const std::vector<Tensor> inputs = random_inputs(batch.table(), 4, kernels::kEdgeFeatures);
  // Each result alone: the gradient of the other one is absent then.
  for (int which : {0, 1, 2}) {
    const auto check = test::gradcheck(inputs, [&](Tape& tape, const std::vector<Variable>& in) {
      const std::vector<Variable> results = fused(batch.table(), features.first())(tape, in);
      return which < 2 ? results[static_cast<std::size_t>(which)] : test::project(tape, results, 11);
    });
    INFO("result " << which << ": " << check.message);
    CHECK(check.ok);
  }
}

TEST_CASE("edge_embed_update has the gradients of finite differences across chunks") {
  const RandomBatch batch = test::random_batch({{5, 90, 70, 2}}, Activation::relu, DType::float64, 5);
  const RandomFeatures features(batch.table(), DType::float64, 1, false);
  // Of three channels a layer norm bends too much for differences over so many weights.
  const auto check = test::gradcheck(random_inputs(batch.table(), 6, kernels::kEdgeFeatures),
                                     [&](Tape& tape, const std::vector<Variable>& in) {
                                       return test::project(tape, fused(batch.table(), features.first())(tape, in), 11);
                                     },
                                     {.max_elements = 12});
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("edge_embed_update has the same bits for any number of threads") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const RandomFeatures features(batch.table(), DType::float32, 1, true);
  const std::vector<Tensor> in = random_inputs(batch.table(), 32, kernels::kEdgeFeatures),
                            grads = random_grads(batch.table(), 32);
  const auto run = [&](int threads) {
    const test::ThreadCount count(threads);
    return test::run_op(in, DType::float32, fused(batch.table(), features.first()), grads);
  };
  const test::OpRun one = run(1);
  CHECK(test::same_bits(one, run(2)));
  CHECK(test::same_bits(one, run(3)));
}

TEST_CASE("edge_embed_update: a network has the same bits alone and in a batch") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t d = 8;
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const kernels::BlockTable& table = batch.table();
  const RandomFeatures features(table, dtype, 1, true);
  const kernels::FirstEdgeFeatures first = features.first().first;
  const std::vector<Tensor> in = random_inputs(table, d, kernels::kEdgeFeatures), grads = random_grads(table, d);
  const test::OpRun all = test::run_op(in, dtype, fused(table, features.first()), grads);
  for (std::int64_t b = 0; b < table.network_count; ++b) {
    const kernels::Network& network = table.network[b];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(b)]}, dtype);
    const auto edges = [&](const TensorView& x) { return slice_rows(x, network.edge_offset, network.edge_count); };
    const auto nodes = [&](const TensorView& x) { return slice_rows(x, network.node_offset, network.node_count); };
    const auto own = [](const TensorView& x) { return test::convert(x, x.dtype); };
    const kernels::EdgeInput input{
        .first = {.weight = edges(first.weight),
                  .fisher = edges(first.fisher),
                  .gradient = edges(first.gradient),
                  .rms = nodes(first.rms),
                  .energy = nodes(first.energy),
                  .scales = slice_rows(first.scales, network.first_block, network.block_count)}};
    const test::OpRun single =
        test::run_op({in[0], in[1], own(nodes(in[2])), in[3], in[4], own(slice_rows(in[5], b, 1))}, dtype,
                     fused(alone.table(), input), {own(edges(grads[0])), own(nodes(grads[1]))});
    CHECK(test::same_bits(single.outputs[0], edges(all.outputs[0])));
    CHECK(test::same_bits(single.outputs[1], nodes(all.outputs[1])));
    CHECK(test::same_bits(single.gradients[2], nodes(all.gradients[2])));
    CHECK(test::same_bits(single.gradients[5], slice_rows(all.gradients[5], b, 1)));
  }
}

TEST_CASE("edge_embed_update: no networks, and mistakes name the argument") {
  const RandomBatch none = test::make_batch({}, DType::float32);
  const RandomFeatures nothing(none.table(), DType::float32, 1, false);
  const test::OpRun empty = test::run_op(random_inputs(none.table(), 4, kernels::kEdgeFeatures), DType::float32,
                                         fused(none.table(), nothing.first()), random_grads(none.table(), 4));
  CHECK(empty.outputs[0].count() == 0);
  CHECK(test::largest(test::values(empty.gradients[0])) == 0.0);

  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float32, 1);
  const RandomFeatures features(batch.table(), DType::float32, 1, true);
  const auto error_with = [&](std::size_t index, Shape shape, DType dtype) {
    std::vector<Tensor> in = random_inputs(batch.table(), 4, kernels::kEdgeFeatures, DType::float32);
    in[index] = Tensor(shape, dtype);
    return test::error_of_constants(in, fused(batch.table(), features.first()));
  };
  CHECK_THAT(error_with(0, {4, 9}, DType::float32), Catch::Contains("[edge_embed] expected `weight` of shape (4, 15)"));
  CHECK_THAT(error_with(1, {5}, DType::float32), Catch::Contains("[edge_embed] expected `bias`"));
  CHECK_THAT(error_with(2, {9, 15}, DType::float32), Catch::Contains("[edge_update] expected `projection`"));
  CHECK_THAT(error_with(3, {5, 4}, DType::float32), Catch::Contains("[edge_update] expected `weight_c`"));
  CHECK_THAT(error_with(3, {4, 4}, DType::float64), Catch::Contains("`weight_c` of float32, got float64"));
  CHECK_THAT(error_with(4, {4, 4}, DType::float64), Catch::Contains("`weight_g` of float32, got float64"));

  // The kernels' own: what the halves share.
  const Tensor out({20, 4}, DType::float32), other({20, 4}, DType::float32);
  const kernels::EdgeEmbedUpdate apart{
      .embed = {.table = batch.table(), .out = out},
      .update = {.table = batch.table(), .edge = other, .edge_out = out, .precision = Precision::bf16}};
  const auto error_of = [](const kernels::EdgeEmbedUpdate& args) {
    return test::error_of([&] { kernels::cpu::edge_embed_update_forward(args, Stream{}); });
  };
  CHECK_THAT(error_of(apart), Catch::Contains("expected the states of `embed` as `update.edge`"));
  kernels::EdgeEmbedUpdate tables = apart;
  tables.embed.table = none.table();
  CHECK_THAT(error_of(tables), Catch::Contains("expected one table"));
}

}  // namespace
}  // namespace amend
