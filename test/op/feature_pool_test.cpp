#include "autograd/op/feature_pool.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

const Tensor kOffset = test::make_tensor({4}, DType::int32, {0, 1, 4, 5});  // features of 1, 3 and 1 inputs

test::TapeProgram program(const kernels::BlockTable& table) {
  return [&table](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::feature_pool(tape, table, in[0], kOffset)};
  };
}

TEST_CASE("feature_pool is the mean over the inputs of a feature") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const Tensor x = test::random_tensor({batch.table().node_count, 6}, DType::float64, 1);
  const test::OpRun run = test::run_op({x}, dtype, program(batch.table()), {});
  const test::Matrix rows{x};
  std::vector<double> expected;
  for (std::int64_t n = 0; n < batch.table().network_count; ++n)
    for (std::int64_t f = 0; f < 3; ++f)
      for (std::int64_t k = 0; k < 6; ++k) {
        double sum = 0.0;
        const std::int32_t *first = kOffset.as<std::int32_t>() + f, *last = first + 1;
        for (std::int64_t j = *first; j < *last; ++j) sum += rows(batch.table().network[n].node_offset + j, k);
        expected.push_back(sum / (*last - *first));
      }
  CHECK(test::close("feature_pool", run.outputs[0], expected));
}

TEST_CASE("feature_pool has the gradients of finite differences") {
  const test::RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 3);
  const auto check =
      test::gradcheck({test::random_tensor({batch.table().node_count, 2}, DType::float64, 1)},
                      [&](Tape& tape, const std::vector<Variable>& in) { return program(batch.table())(tape, in)[0]; });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("feature_pool: the same bits for any number of threads and alone") {
  const test::RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const kernels::BlockTable& table = batch.table();
  const Tensor x = test::random_tensor({table.node_count, 6}, DType::float64, 1);
  const Tensor grad = test::random_tensor({table.network_count * 3, 6}, DType::float64, 2);
  test::OpRun all;
  {
    const test::ThreadCount one(1);
    all = test::run_op({x}, DType::float32, program(table), {grad});
  }
  for (const int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(all, test::run_op({x}, DType::float32, program(table), {grad})));
  }
  for (std::int64_t n = 0; n < table.network_count; ++n) {
    const test::RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(n)]}, DType::float32);
    const kernels::Network& network = table.network[n];
    const auto nodes = [&](const TensorView& view) {
      return slice_rows(view, network.node_offset, network.node_count);
    };
    const test::OpRun single =
        test::run_op({test::convert(nodes(x), DType::float64)}, DType::float32, program(alone.table()),
                     {test::convert(slice_rows(grad, 3 * n, 3), DType::float64)});
    CHECK(test::same_bits(single.outputs[0], slice_rows(all.outputs[0], 3 * n, 3)));
    CHECK(test::same_bits(single.gradients[0], nodes(all.gradients[0])));
  }
}

TEST_CASE("feature_pool names what does not fit") {
  const test::RandomBatch batch = test::random_batch({{5, 4, 2}}, Activation::relu, DType::float64, 3);
  CHECK_THAT(test::error_of([&] {
               test::run_op({Tensor({3, 2}, DType::float64)}, DType::float64, program(batch.table()), {});
             }),
             Catch::Contains("[feature_pool] expected `x` of shape (11, 2), got (3, 2)"));
}

}  // namespace
}  // namespace amend
