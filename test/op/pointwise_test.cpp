#include "autograd/op/pointwise.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using kernels::PointwiseOp;

constexpr PointwiseOp kOps[] = {PointwiseOp::relu, PointwiseOp::silu, PointwiseOp::tanh, PointwiseOp::sigmoid};

test::TapeProgram program(PointwiseOp op) {
  return [op](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::pointwise(tape, op, in[0])};
  };
}

/// f(x) and f'(x).
std::pair<double, double> exact(PointwiseOp op, double x) {
  const double s = 1.0 / (1.0 + std::exp(-x)), t = std::tanh(x);
  switch (op) {
    case PointwiseOp::relu: return {std::max(x, 0.0), x > 0.0 ? 1.0 : 0.0};
    case PointwiseOp::silu: return {x * s, s + x * s * (1.0 - s)};
    case PointwiseOp::tanh: return {t, 1.0 - t * t};
    default: return {s, s * (1.0 - s)};
  }
}

TEST_CASE("pointwise agrees with the formulas") {
  const PointwiseOp op = GENERATE(from_range(std::begin(kOps), std::end(kOps)));
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor x = test::random_tensor({90, 101}, DType::float64, 1, 4.0);  // more than one chunk
  const Tensor grad = test::random_tensor({90, 101}, DType::float64, 2);
  const test::OpRun run = test::run_op({x}, dtype, program(op), {grad});
  std::vector<double> y, grad_x;
  for (std::int64_t i = 0; i < x.count(); ++i) {
    const auto [value, slope] = exact(op, x.as<double>()[i]);
    y.push_back(value);
    grad_x.push_back(grad.as<double>()[i] * slope);
  }
  CHECK(test::close("pointwise", run.outputs[0], y));
  CHECK(test::close("pointwise", run.gradients[0], grad_x));
}

TEST_CASE("pointwise has the gradients of finite differences") {
  const PointwiseOp op = GENERATE(from_range(std::begin(kOps), std::end(kOps)));
  const auto check =
      test::gradcheck({test::random_tensor({7, 9}, DType::float64, 1, 3.0)},
                      [&](Tape& tape, const std::vector<Variable>& in) { return program(op)(tape, in)[0]; });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("pointwise: relu is 0 with slope 0 at 0, and large arguments stay finite") {
  for (PointwiseOp op : kOps) {
    const Tensor x = test::make_tensor({3}, DType::float32, {-1e30, 0.0, 1e30});
    const test::OpRun run =
        test::run_op({x}, DType::float32, program(op), {test::make_tensor({3}, DType::float32, {1, 1, 1})});
    for (double value : test::values(run.outputs[0])) CHECK(std::isfinite(value));
    for (double value : test::values(run.gradients[0])) CHECK(std::isfinite(value));
    if (op == PointwiseOp::relu) CHECK(test::values(run.gradients[0]) == std::vector<double>{0.0, 0.0, 1.0});
  }
}

TEST_CASE("pointwise gives the same bits for any number of threads") {
  const PointwiseOp op = GENERATE(from_range(std::begin(kOps), std::end(kOps)));
  const Tensor x = test::random_tensor({50000}, DType::float32, 1),
               grad = test::random_tensor({50000}, DType::float32, 2);
  test::OpRun one;
  for (int threads : {1, 2, 3}) {
    const test::ThreadCount several(threads);
    const test::OpRun run = test::run_op({x}, DType::float32, program(op), {grad});
    if (threads == 1) one = run;
    CHECK(test::same_bits(one, run));
  }
}

TEST_CASE("pointwise: no elements, and mistakes name the argument") {
  const test::OpRun empty = test::run_op({Tensor({0, 3}, DType::float64)}, DType::float64, program(PointwiseOp::silu),
                                         {Tensor({0, 3}, DType::float64)});
  CHECK(empty.outputs[0].view().shape == Shape{0, 3});
  const Tensor x({4}, DType::float32), y({5}, DType::float32), index({4}, DType::int32);
  CHECK_THROWS_WITH(kernels::pointwise_forward({.x = x, .y = y}, Stream{}),
                    "[pointwise] expected `y` of shape (4), got (5)");
  CHECK_THROWS_WITH(kernels::pointwise_forward({.x = index, .y = index}, Stream{}),
                    "[pointwise] expected float32 or float64, got int32");
  CHECK_THROWS_WITH(kernels::pointwise_backward({.forward = {.x = x, .y = x}, .grad_y = x}, Stream{}),
                    "[pointwise] `grad_x` is missing");
}

}  // namespace
}  // namespace amend
