// Formulas of the features are checked in edit_features_test.cpp, with the kernel that says what they are held against.

#include "autograd/op/edge_embed.hpp"

#include <catch2/catch.hpp>

#include "engine/bfloat16.hpp"
#include "kernels/cpu/vector/functions.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/random_features.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using test::RandomBatch;
using test::RandomFeatures;

/// weight (d, width), bias (d).
std::vector<Tensor> random_inputs(std::int64_t d, std::int64_t width, DType dtype) {
  return {test::random_tensor({d, width}, dtype, 1, 0.5), test::random_tensor({d}, dtype, 2, 0.5)};
}

test::TapeProgram program(const kernels::BlockTable& table, const kernels::EdgeInput& features) {
  return [&table, features](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::edge_embed(tape, table, features, in[0], in[1])};
  };
}

TEST_CASE("edge_embed is a product with the features and a bias") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t d = GENERATE(5, 32);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const RandomFeatures features(batch.table(), dtype, 2, true);
  for (const kernels::EdgeInput& input : {features.first(), features.refine()}) {
    const std::vector<Tensor> in = random_inputs(d, input.width(), dtype);
    const test::Matrix feature(features.rows(input)), weight(in[0]), bias(in[1]);
    test::Matrix expected(batch.table().edge_count, d);
    for (std::int64_t e = 0; e < batch.table().edge_count; ++e)
      for (std::int64_t i = 0; i < d; ++i) {
        expected(e, i) = bias.data[static_cast<std::size_t>(i)];
        for (std::int64_t f = 0; f < input.width(); ++f) expected(e, i) += weight(i, f) * feature(e, f);
      }
    const test::OpRun run = test::run_op(in, dtype, program(batch.table(), input), {});
    CHECK(test::close("edge_embed", run.outputs[0], expected.data));
  }
}

TEST_CASE("edge_embed has the gradients of finite differences") {
  const std::int64_t d = GENERATE(5, 16);
  const RandomBatch batch = test::random_batch({{5, 90, 30, 2}, {5, 2}}, Activation::relu, DType::float64, 5);
  const RandomFeatures features(batch.table(), DType::float64, 1, true);
  const auto check = test::gradcheck(random_inputs(d, kernels::kEdgeFeatures, DType::float64),
                                     [&](Tape& tape, const std::vector<Variable>& leaf) {
                                       return op::edge_embed(tape, batch.table(), features.first(), leaf[0], leaf[1]);
                                     });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("edge_embed in float32 has the gradients of float64") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const RandomFeatures narrow(batch.table(), DType::float32, 1, true), wide(batch.table(), DType::float64, 1, true);
  const Tensor grad = test::random_tensor({batch.table().edge_count, 16}, DType::float64, 2);
  const std::vector<Tensor> in = random_inputs(16, kernels::kEdgeFeatures, DType::float64);
  const auto run = [&](DType dtype, const RandomFeatures& features) {
    return test::run_op(in, dtype, program(batch.table(), features.first()), {grad});
  };
  CHECK(test::gradients_close("edge_embed", run(DType::float32, narrow), run(DType::float64, wide)));
}

TEST_CASE("edge_embed has the same bits for any number of threads") {
  const RandomBatch batch = test::random_batch({{5, 90, 30, 2}, {5, 2}}, Activation::relu, DType::float32, 5);
  const RandomFeatures features(batch.table(), DType::float32, 1, false);
  const std::vector<Tensor> in = random_inputs(32, kernels::kEdgeFeatures, DType::float32);
  const Tensor grad = test::random_tensor({batch.table().edge_count, 32}, DType::float32, 2);
  const auto run = [&](int threads) {
    const test::ThreadCount count(threads);
    return test::run_op(in, DType::float32, program(batch.table(), features.first()), {grad});
  };
  CHECK(test::same_bits(run(1), run(3)));
}

TEST_CASE("edge_embed: states of bfloat16 are those of float32, rounded") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const RandomFeatures features(batch.table(), DType::float32, 1, true);
  const std::vector<Tensor> in = random_inputs(16, kernels::kEdgeFeatures, DType::float32);
  const Shape shape{batch.table().edge_count, 16};
  const Tensor wide(shape, DType::float32), narrow(shape, DType::bfloat16);
  for (const Tensor& out : {wide, narrow})
    kernels::edge_embed_forward(
        {.table = batch.table(), .input = features.first(), .weight = in[0], .bias = in[1], .out = out}, Stream{});
  for (std::int64_t i = 0; i < wide.count(); ++i)
    CHECK(static_cast<float>(narrow.as<BFloat16>()[i]) == static_cast<float>(BFloat16(wide.as<float>()[i])));
}

TEST_CASE("features of weights are the same for every instruction set") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool gradient = GENERATE(false, true);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const RandomFeatures features(batch.table(), dtype, 2, gradient);
  const auto& before = kernels::cpu::vector_functions();
  const std::vector<double> first = test::values(features.rows(features.first())),
                            refine = test::values(features.rows(features.refine()));
  for (const auto* functions : kernels::cpu::supported_vector_functions()) {
    kernels::cpu::use_vector_functions(*functions);
    CHECK(test::close("edit_features", features.rows(features.first()), first));
    CHECK(test::close("edit_features", features.rows(features.refine()), refine));
  }
  kernels::cpu::use_vector_functions(before);
}

TEST_CASE("features of weights: one of the gradient is 0 without one, and the kinds of blocks are told apart") {
  const RandomBatch batch = test::random_batch({{3, 4, 5, 2}}, Activation::relu, DType::float32, 3);
  const kernels::BlockTable& table = batch.table();
  const RandomFeatures without(table, DType::float32, 1, false), with(table, DType::float32, 1, true);
  const test::Matrix a(without.rows(without.first())), b(with.rows(with.first()));
  for (std::int32_t index = 0; index < table.block_count; ++index)
    for (std::int64_t e = table.block[index].edge_offset; e < table.block_edges.offset[index + 1]; ++e) {
      for (int f = 10; f < 12; ++f) CHECK((a(e, f) == 0.0 && b(e, f) != 0.0));
      for (int kind = 0; kind < 3; ++kind) CHECK(a(e, 12 + kind) == (kind == index ? 1.0 : 0.0));
      for (int f = 0; f < 10; ++f) CHECK(a(e, f) == b(e, f));
    }
}

TEST_CASE("edge_embed: mistakes name the argument") {
  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float32, 1);
  const RandomFeatures features(batch.table(), DType::float32, 1, true);
  const std::vector<Tensor> in = random_inputs(4, kernels::kEdgeFeatures, DType::float32);
  const Tensor out({20, 4}, DType::float32), wrong({7}, DType::float32), doubles({20, 4}, DType::float64);
  const auto error_of = [&](const kernels::EdgeInput& input, const TensorView& to) {
    return test::error_of([&] {
      kernels::edge_embed_forward({.table = batch.table(), .input = input, .weight = in[0], .bias = in[1], .out = to},
                                  Stream{});
    });
  };
  CHECK(error_of(features.first(), out).empty());
  CHECK_THAT(error_of(features.first(), wrong), Catch::Contains("[edge_embed] expected `out` of shape (20, 4)"));
  CHECK_THAT(error_of(features.first(), doubles), Catch::Contains("`out`"));
  CHECK_THAT(error_of(features.refine(), out), Catch::Contains("expected `weight` of shape (4, 9)"));
  kernels::EdgeInput input = features.first();
  input.first.energy = wrong;
  CHECK_THAT(error_of(input, out), Catch::Contains("expected `energy` of shape (9), got (7)"));
  CHECK_THAT(error_of({.rows = out}, out), Catch::Contains("expected features"));
}

}  // namespace
}  // namespace amend
