#include "autograd/op/edit_step.hpp"

#include <catch2/catch.hpp>

#include "kernels/fill.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

/// Which of the optional inputs there are, and how many steps.
struct Options {
  bool state, prior;
  std::int64_t steps;
};

/// out, prior_gain, logit_in, residual_in.
std::vector<Tensor> random_inputs(std::int64_t n, std::int64_t steps) {
  return {test::random_tensor({n, 2 + steps}, DType::float64, 1), test::random_tensor({1}, DType::float64, 2),
          test::random_tensor({n}, DType::float64, 3), test::random_tensor({n}, DType::float64, 4)};
}

test::TapeProgram program(std::int64_t n, Options options) {
  return [n, options](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    const DType dtype = in[0].dtype();
    op::EditStepOptions o{.logit_scale = 2.5, .residual_scale = 0.4};
    // Read while the operation and its gradient run: kept by the arena.
    const auto constant = [&](const Tensor& x) {
      TensorView view = tape.arena().zeros(x.view().shape, dtype);
      kernels::accumulate({.x = x, .y = view}, Stream{});
      return view;
    };
    if (options.prior) o.prior = constant(test::random_tensor({n}, dtype, 5));
    if (options.prior) o.prior_gain = in[1];
    if (options.steps > 0) o.step = constant(test::random_tensor({n, options.steps}, dtype, 6));
    op::EditState state;
    if (options.state) state = {in[2], in[3]};
    const op::EditState after = op::edit_step(tape, in[0], state, o);
    return {after.logit, after.residual};
  };
}

TEST_CASE("edit_step agrees with the formula") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Options options{GENERATE(false, true), GENERATE(false, true), GENERATE(0, 2)};
  const std::int64_t n = 9000;  // more than one chunk
  const std::vector<Tensor> in = random_inputs(n, options.steps);
  const test::OpRun run = test::run_op(in, dtype, program(n, options), {});
  const test::Matrix out(in[0]), step(test::random_tensor({n, options.steps}, DType::float64, 6));
  const Tensor prior = test::random_tensor({n}, DType::float64, 5);
  std::vector<double> logit, residual;
  for (std::int64_t i = 0; i < n; ++i) {
    double l = 2.5 * out(i, 0), r = 0.4 * out(i, 1);
    if (options.state) l += in[2].as<double>()[i];
    if (options.state) r += in[3].as<double>()[i];
    if (options.prior) l += in[1].as<double>()[0] * prior.as<double>()[i];
    for (std::int64_t k = 0; k < options.steps; ++k) r += out(i, 2 + k) * step(i, k);
    logit.push_back(l);
    residual.push_back(r);
  }
  CHECK(test::close("edit_step", run.outputs[0], logit));
  CHECK(test::close("edit_step", run.outputs[1], residual));
}

TEST_CASE("edit_step has the gradients of finite differences") {
  const Options options{GENERATE(false, true), GENERATE(false, true), GENERATE(0, 2)};
  for (int which : {0, 1, 2}) {
    const auto check =
        test::gradcheck(random_inputs(13, options.steps), [&](Tape& tape, const std::vector<Variable>& in) {
          const auto results = program(13, options)(tape, in);
          return which < 2 ? results[static_cast<std::size_t>(which)] : test::project(tape, results, 11);
        });
    INFO("result " << which << ": " << check.message);
    CHECK(check.ok);
  }
}

TEST_CASE("edit_step moves a state that needs gradients by an output that needs none") {
  const std::vector<Tensor> in = random_inputs(13, 0);
  const Tensor grad = test::random_tensor({13}, DType::float64, 8);
  const test::TapeProgram constant_out = [](Tape& tape, const std::vector<Variable>& leaves) {
    std::vector<Variable> inputs = leaves;
    inputs[0] = tape.detach(leaves[0]);
    return program(13, {true, true, 0})(tape, inputs);
  };
  const test::OpRun run = test::run_op(in, DType::float64, constant_out, {grad, grad});
  CHECK(test::largest(test::values(run.gradients[0])) == 0.0);
  CHECK(test::values(run.gradients[2]) == test::values(grad));
  CHECK(test::values(run.gradients[3]) == test::values(grad));
}

TEST_CASE("edit_step gives the same bits for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t n = 40000;
  const std::vector<Tensor> in = random_inputs(n, 2);
  const std::vector<Tensor> grads = {test::random_tensor({n}, dtype, 8), test::random_tensor({n}, dtype, 9)};
  test::OpRun one;
  for (int threads : {1, 2, 3}) {
    const test::ThreadCount several(threads);
    const test::OpRun run = test::run_op(in, dtype, program(n, {true, true, 2}), grads);
    if (threads == 1) one = run;
    CHECK(test::same_bits(one, run));
  }
  const test::OpRun exact = test::run_op(in, DType::float64, program(n, {true, true, 2}), grads);
  CHECK(
      test::gradients_close("edit_step", test::run_op(in, DType::float32, program(n, {true, true, 2}), grads), exact));
}

TEST_CASE("edit_step: nothing to move, and mistakes name the argument") {
  const std::vector<Tensor> none = {Tensor({0}, DType::float64), Tensor({0}, DType::float64)};
  CHECK(test::run_op(random_inputs(0, 2), DType::float64, program(0, {true, true, 2}), none).outputs[0].count() == 0);

  const auto error_with = [](std::size_t index, Shape shape) {
    std::vector<Tensor> in = random_inputs(7, 1);
    in[index] = Tensor(shape, DType::float64);
    return test::error_of([&] { test::run_op(in, DType::float64, program(7, {true, true, 1}), {}); });
  };
  CHECK_THAT(error_with(0, {7, 1}), Catch::Contains("[edit_step] expected at least 2 columns in `out`, got 1"));
  CHECK_THAT(error_with(0, {7, 4}), Catch::Contains("`step` of shape (7, 2)"));
  CHECK_THAT(error_with(1, {2}), Catch::Contains("`prior_gain`"));
  CHECK_THAT(error_with(2, {6}), Catch::Contains("`logit_in`"));
  CHECK_THAT(error_with(3, {8}), Catch::Contains("`residual_in`"));
}

}  // namespace
}  // namespace amend
