// Formulas are checked in edit_features_test.cpp, with the kernel that says what features are held against.

#include "kernels/edge_features.hpp"

#include <catch2/catch.hpp>

#include "kernels/cpu/vector/functions.hpp"
#include "test/support/op_run.hpp"
#include "test/support/random_features.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using test::RandomBatch;
using test::RandomFeatures;

TEST_CASE("edge_features are the same for every instruction set") {
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

TEST_CASE("edge_features: a feature of the gradient is 0 without one, and the kinds of blocks are told apart") {
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

TEST_CASE("edge_features: mistakes name the argument") {
  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float32, 1);
  const RandomFeatures features(batch.table(), DType::float32, 1, true);
  const Tensor out({20, kernels::kEdgeFeatures}, DType::float32), wrong({7}, DType::float32);
  const auto error_of = [&](kernels::EdgeInput input, const TensorView& feature) {
    return test::error_of(
        [&] { kernels::edge_features({.table = batch.table(), .input = input, .feature = feature}, Stream{}); });
  };
  CHECK(error_of(features.first(), out).empty());
  CHECK_THAT(error_of(features.first(), wrong),
             Catch::Contains("[edge_features] expected `feature` of shape (20, 15)"));
  kernels::EdgeInput input = features.first();
  input.first.energy = wrong;
  CHECK_THAT(error_of(input, out), Catch::Contains("expected `energy` of shape (9), got (7)"));
  CHECK_THAT(error_of({.rows = out}, out), Catch::Contains("expected features"));
}

}  // namespace
}  // namespace amend
