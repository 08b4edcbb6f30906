#include "autograd/op/linear.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

/// One row, a few, none, and more than the tiles of both passes hold.
const std::vector<std::int64_t> kRows = {0, 1, 40, 40, 4200};
const std::vector<std::int64_t> kFewRows = {0, 1, 6, 6, 17};

kernels::Segments segments(const std::vector<std::int64_t>& offset) {
  return {offset.data(), static_cast<std::int32_t>(offset.size()) - 1};
}

/// x, weight, bias.
std::vector<Tensor> random_inputs(std::int64_t rows, std::int64_t in, std::int64_t out) {
  return {test::random_tensor({rows, in}, DType::float64, 1), test::random_tensor({out, in}, DType::float64, 2),
          test::random_tensor({out}, DType::float64, 3)};
}

test::TapeProgram program(const std::vector<std::int64_t>& offset, bool bias = true) {
  return [&offset, bias](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::linear(tape, in[0], in[1], bias ? in[2] : Variable(), segments(offset))};
  };
}

TEST_CASE("linear agrees with sums of products") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool bias = GENERATE(false, true);
  const std::int64_t columns = GENERATE(1, 11), outputs = GENERATE(1, 9), rows = kRows.back();
  const std::vector<Tensor> in = random_inputs(rows, columns, outputs);
  const Tensor grad = test::random_tensor({rows, outputs}, DType::float64, 4);
  const test::OpRun run = test::run_op(in, dtype, program(kRows, bias), {grad});
  const test::Matrix x(in[0]), weight(in[1]), grad_y(grad);
  test::Matrix y(rows, outputs), grad_x(rows, columns), grad_weight(outputs, columns), grad_bias(1, outputs);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t o = 0; o < outputs; ++o) {
      y(r, o) = bias ? in[2].as<double>()[o] : 0.0;
      if (bias) grad_bias(0, o) += grad_y(r, o);
      for (std::int64_t i = 0; i < columns; ++i) {
        y(r, o) += weight(o, i) * x(r, i);
        grad_x(r, i) += grad_y(r, o) * weight(o, i);
        grad_weight(o, i) += grad_y(r, o) * x(r, i);
      }
    }
  CHECK(test::close("linear", run.outputs[0], y.data));
  CHECK(test::close("linear", run.gradients[0], grad_x.data));
  CHECK(test::close("linear", run.gradients[1], grad_weight.data));
  CHECK(test::close("linear", run.gradients[2], grad_bias.data));
}

TEST_CASE("linear has the gradients of finite differences") {
  const bool bias = GENERATE(false, true);
  const auto check = test::gradcheck(random_inputs(17, 5, 4), [&](Tape& tape, const std::vector<Variable>& in) {
    return program(kFewRows, bias)(tape, in)[0];
  });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("linear gives gradients only where they are wanted") {
  const std::vector<Tensor> in = random_inputs(17, 5, 4);
  const Tensor grad = test::random_tensor({17, 4}, DType::float64, 4);
  const test::OpRun full = test::run_op(in, DType::float64, program(kFewRows), {grad});
  for (std::size_t constant : {0u, 1u, 2u}) {
    const test::TapeProgram detached = [&](Tape& tape, const std::vector<Variable>& leaves) {
      std::vector<Variable> inputs = leaves;
      inputs[constant] = tape.detach(leaves[constant]);
      return program(kFewRows)(tape, inputs);
    };
    const test::OpRun part = test::run_op(in, DType::float64, detached, {grad});
    for (std::size_t i : {0u, 1u, 2u}) {
      if (i == constant)
        CHECK(test::largest(test::values(part.gradients[i])) == 0.0);
      else
        CHECK(test::same_bits(part.gradients[i], full.gradients[i]));
    }
  }
}

TEST_CASE("linear: a segment has the same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t rows = kRows.back();
  const std::vector<Tensor> in = random_inputs(rows, 37, 19);
  const Tensor grad = test::random_tensor({rows, 19}, dtype, 4);
  test::OpRun all;
  for (int threads : {1, 2, 3}) {
    const test::ThreadCount several(threads);
    const test::OpRun run = test::run_op(in, dtype, program(kRows), {grad});
    if (threads == 1) all = run;
    CHECK(test::same_bits(all, run));
  }
  for (std::size_t s = 0; s + 1 < kRows.size(); ++s) {
    const std::vector<std::int64_t> own = {0, kRows[s + 1] - kRows[s]};
    const auto part = [&](const TensorView& x) { return test::convert(slice_rows(x, kRows[s], own[1]), x.dtype); };
    const test::OpRun single = test::run_op({part(in[0]), in[1], in[2]}, dtype, program(own), {part(grad)});
    CHECK(test::same_bits(single.outputs[0], part(all.outputs[0])));
    CHECK(test::same_bits(single.gradients[0], part(all.gradients[0])));
  }
}

TEST_CASE("linear: no rows, and mistakes name the argument") {
  const std::vector<std::int64_t> none = {0};
  const test::OpRun empty =
      test::run_op(random_inputs(0, 5, 4), DType::float64, program(none), {Tensor({0, 4}, DType::float64)});
  CHECK(empty.outputs[0].view().shape == Shape{0, 4});
  CHECK(test::largest(test::values(empty.gradients[1])) == 0.0);

  const auto error_with = [](std::size_t index, Shape shape) {
    std::vector<Tensor> in = random_inputs(17, 5, 4);
    in[index] = Tensor(shape, DType::float64);
    return test::error_of([&] { test::run_op(in, DType::float64, program(kFewRows), {}); });
  };
  CHECK_THAT(error_with(0, {16, 5}), Catch::Contains("[linear] segments cover 17 rows, x has 16"));
  CHECK_THAT(error_with(1, {4, 6}), Catch::Contains("`weight` of shape (4, 5), got (4, 6)"));
  CHECK_THAT(error_with(2, {5}), Catch::Contains("`bias` of shape (4), got (5)"));
}

}  // namespace
}  // namespace amend
