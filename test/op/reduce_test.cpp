#include "autograd/op/reduce.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

const std::vector<std::int64_t> kOffsets = {0, 1, 700, 700, 1000};  // one row, many, none, some
const std::vector<std::int64_t> kFew = {0, 1, 6, 6, 13};

kernels::Segments segments(const std::vector<std::int64_t>& offset) {
  return {offset.data(), static_cast<std::int32_t>(offset.size()) - 1};
}

/// Mean of x, and x + term, over segments: in[0] is x, in[1] the term.
test::TapeProgram program(const std::vector<std::int64_t>& offset) {
  return [&offset](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::segment_mean(tape, in[0], segments(offset)), op::segment_add(tape, in[0], in[1], segments(offset))};
  };
}

TEST_CASE("segment_mean and segment_add agree with loops over rows") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t width = GENERATE(1, 5);
  const Tensor x = test::random_tensor({1000, width}, DType::float64, 1);
  const Tensor term = test::random_tensor({4, width}, DType::float64, 2);
  const test::OpRun run = test::run_op({x, term}, dtype, program(kOffsets), {});
  const test::Matrix rows(x), terms(term);
  test::Matrix mean(4, width), sum(1000, width);
  for (std::int64_t s = 0; s < 4; ++s) {
    const std::int64_t begin = kOffsets[static_cast<std::size_t>(s)], end = kOffsets[static_cast<std::size_t>(s) + 1];
    for (std::int64_t r = begin; r < end; ++r)
      for (std::int64_t i = 0; i < width; ++i) {
        mean(s, i) += rows(r, i) / static_cast<double>(end - begin);
        sum(r, i) = rows(r, i) + terms(s, i);
      }
  }
  CHECK(test::close("reduce", run.outputs[0], mean.data));
  CHECK(test::close("reduce", run.outputs[1], sum.data));
}

TEST_CASE("segment_mean and segment_add have the gradients of finite differences") {
  for (std::size_t which : {0u, 1u}) {
    const auto check = test::gradcheck(
        {test::random_tensor({13, 3}, DType::float64, 1), test::random_tensor({4, 3}, DType::float64, 2)},
        [&](Tape& tape, const std::vector<Variable>& in) { return program(kFew)(tape, in)[which]; });
    INFO(which << ": " << check.message);
    CHECK(check.ok);
  }
}

TEST_CASE("segment_add gives a gradient to its term alone") {
  const Tensor x = test::random_tensor({13, 3}, DType::float64, 1),
               term = test::random_tensor({4, 3}, DType::float64, 2);
  const Tensor grad = test::random_tensor({13, 3}, DType::float64, 3);
  const test::OpRun run = test::run_op({x, term}, DType::float64,
                                       [](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
                                         return {op::segment_add(tape, tape.detach(in[0]), in[1], segments(kFew))};
                                       },
                                       {grad});
  CHECK(test::largest(test::values(run.gradients[0])) == 0.0);
  CHECK(test::values(slice_rows(run.gradients[1], 0, 1)) == test::values(slice_rows(grad, 0, 1)));
}

TEST_CASE("weighted_sum and add agree with sums, and have their gradients") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor x = test::random_tensor({5000}, DType::float64, 1), y = test::random_tensor({5000}, DType::float64, 2);
  const Tensor weight = test::random_tensor({5000}, dtype, 3), exact = test::convert(weight, DType::float64);
  const test::TapeProgram sum = [](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::add(tape, in[0], in[1])};
  };
  const test::OpRun run =
      test::run_op({x, y}, dtype,
                   [&](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
                     return {op::weighted_sum(tape, op::add(tape, in[0], in[1]), weight), sum(tape, in)[0]};
                   },
                   {test::make_tensor({1}, DType::float64, {1.5})});
  double expected = 0.0, magnitude = 0.0;
  std::vector<double> sums, grads;
  for (std::int64_t i = 0; i < 5000; ++i) {
    sums.push_back(x.as<double>()[i] + y.as<double>()[i]);
    expected += exact.as<double>()[i] * sums.back();
    magnitude += std::fabs(exact.as<double>()[i] * sums.back());
    grads.push_back(1.5 * exact.as<double>()[i]);
  }
  // The terms round to float before they are summed in double.
  CHECK(std::fabs(test::values(run.outputs[0])[0] - expected) <= test::tolerance("reduce", dtype, magnitude / 64));
  CHECK(test::close("reduce", run.outputs[1], sums));
  CHECK(test::close("reduce", run.gradients[0], grads));
  CHECK(test::close("reduce", run.gradients[1], grads));
}

TEST_CASE("add sends two gradients to a variable it is given twice") {
  const test::OpRun run = test::run_op({test::make_tensor({2}, DType::float64, {1.0, 2.0})}, DType::float64,
                                       [](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
                                         return {op::add(tape, in[0], in[0])};
                                       },
                                       {test::make_tensor({2}, DType::float64, {3.0, 5.0})});
  CHECK(test::values(run.outputs[0]) == std::vector<double>{2.0, 4.0});
  CHECK(test::values(run.gradients[0]) == std::vector<double>{6.0, 10.0});
}

TEST_CASE("reductions give the same bits for any number of threads") {
  const Tensor x = test::random_tensor({1000, 5}, DType::float32, 1),
               term = test::random_tensor({4, 5}, DType::float32, 2);
  const std::vector<Tensor> grads = {test::random_tensor({4, 5}, DType::float32, 3),
                                     test::random_tensor({1000, 5}, DType::float32, 4)};
  test::OpRun one;
  for (int threads : {1, 2, 3}) {
    const test::ThreadCount several(threads);
    const test::OpRun run = test::run_op({x, term}, DType::float32, program(kOffsets), grads);
    if (threads == 1) one = run;
    CHECK(test::same_bits(one, run));
  }
  const test::OpRun exact = test::run_op({x, term}, DType::float64, program(kOffsets), grads);
  CHECK(test::gradients_close("reduce", one, exact));
}

TEST_CASE("reductions: no segments, and mistakes name the argument") {
  const std::vector<std::int64_t> none = {0};
  const test::OpRun empty =
      test::run_op({Tensor({0, 3}, DType::float64), Tensor({0, 3}, DType::float64)}, DType::float64, program(none),
                   {Tensor({0, 3}, DType::float64), Tensor({0, 3}, DType::float64)});
  CHECK(empty.outputs[0].count() == 0);

  const auto error_with = [](Shape x, Shape term) {
    return test::error_of([&] {
      test::run_op({Tensor(x, DType::float64), Tensor(term, DType::float64)}, DType::float64, program(kFew), {});
    });
  };
  CHECK_THAT(error_with({12, 3}, {4, 3}), Catch::Contains("[segment_mean] segments cover 13 rows of 12"));
  CHECK_THAT(error_with({13, 3}, {4, 2}), Catch::Contains("[segment_add] expected `term` of shape (4, 3), got (4, 2)"));
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor five({5}, DType::float64), six({6}, DType::float64);
  CHECK_THROWS_WITH(op::weighted_sum(tape, tape.constant(five), six),
                    "[weighted_sum] expected `weight` of shape (5), got (6)");
  CHECK_THROWS_WITH(op::add(tape, tape.constant(five), tape.constant(six)), "[add] expected shape (5), got (6)");
}

}  // namespace
}  // namespace amend
