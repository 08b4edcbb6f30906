#include "autograd/op/embedding.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

/// -1 .. entries - 1.
Tensor random_index(std::int64_t rows, std::int32_t entries) {
  Tensor index = test::random_integers({rows}, entries + 1, 9);
  for (std::int64_t i = 0; i < rows; ++i) --index.as<std::int32_t>()[i];
  return index;
}

test::TapeProgram program(const Tensor& index) {
  return [index](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::embedding_add(tape, in[0], in[1], index)};
  };
}

std::vector<Tensor> random_inputs(std::int64_t rows, std::int64_t entries) {
  return {test::random_tensor({rows, 6}, DType::float64, 1), test::random_tensor({entries, 6}, DType::float64, 2)};
}

TEST_CASE("embedding_add agrees with a loop over rows") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t rows = 1200;  // more than one chunk
  const std::vector<Tensor> in = random_inputs(rows, 11);
  const Tensor index = random_index(rows, 11), grad = test::random_tensor({rows, 6}, DType::float64, 3);
  const test::OpRun run = test::run_op(in, dtype, program(index), {grad});
  const test::Matrix x(in[0]), table(in[1]), grad_y(grad);
  test::Matrix y(rows, 6), grad_table(11, 6);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < 6; ++i) {
      const std::int32_t entry = index.as<std::int32_t>()[r];
      y(r, i) = x(r, i) + (entry < 0 ? 0.0 : table(entry, i));
      if (entry >= 0) grad_table(entry, i) += grad_y(r, i);
    }
  CHECK(test::close("embedding", run.outputs[0], y.data));
  CHECK(test::values(run.gradients[0]) == grad_y.data);
  CHECK(test::close("embedding", run.gradients[1], grad_table.data));
}

TEST_CASE("embedding_add has the gradients of finite differences") {
  const Tensor index = random_index(20, 5);
  const auto check = test::gradcheck(
      random_inputs(20, 5), [&](Tape& tape, const std::vector<Variable>& in) { return program(index)(tape, in)[0]; });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("embedding_add gives the same bits for any number of threads") {
  const std::vector<Tensor> in = random_inputs(5000, 11);
  const Tensor index = random_index(5000, 11), grad = test::random_tensor({5000, 6}, DType::float32, 3);
  test::OpRun one;
  for (int threads : {1, 2, 3}) {
    const test::ThreadCount several(threads);
    const test::OpRun run = test::run_op(in, DType::float32, program(index), {grad});
    if (threads == 1) one = run;
    CHECK(test::same_bits(one, run));
  }
}

TEST_CASE("embedding_add: no rows, and mistakes name the argument") {
  const test::OpRun empty =
      test::run_op(random_inputs(0, 3), DType::float64, program(random_index(0, 3)), {Tensor({0, 6}, DType::float64)});
  CHECK(empty.outputs[0].count() == 0);

  const auto error_with = [](const Tensor& index, Shape table) {
    return test::error_of([&] {
      test::run_op({Tensor({2, 6}, DType::float64), Tensor(table, DType::float64)}, DType::float64, program(index), {});
    });
  };
  const auto index_of = [](double a, double b) { return test::make_tensor({2}, DType::int32, {a, b}); };
  CHECK(error_with(index_of(0, -1), {3, 6}).empty());
  CHECK_THAT(error_with(index_of(0, 3), {3, 6}), Catch::Contains("[embedding_add] index 3 is outside 3 entries"));
  CHECK_THAT(error_with(index_of(-2, 0), {3, 6}), Catch::Contains("index -2 is outside 3 entries"));
  CHECK_THAT(error_with(index_of(0, 0), {3, 5}), Catch::Contains("`table` of shape (3, 6), got (3, 5)"));
  CHECK_THAT(error_with(Tensor({3}, DType::int32), {3, 6}), Catch::Contains("`index` of shape (2), got (3)"));
}

}  // namespace
}  // namespace amend
