#include "kernels/linear.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(linear_forward, Linear)
AMEND_TWINS(linear_backward, LinearGradient)

namespace amend::test {
namespace {

TEST_CASE("cuda linear") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  struct Case {
    std::int64_t rows, in, out;
    bool all;  // with the optional arguments
  };
  // Within a tile, several tiles, several parts of the weight gradient, nothing.
  const Case c = GENERATE(Case{3, 5, 2, true}, Case{70, 37, 66, true}, Case{2100, 17, 3, true}, Case{70, 1, 1, false},
                          Case{0, 5, 2, true});
  const Tensor x = random_tensor({c.rows, c.in}, dtype, 1), weight = random_tensor({c.out, c.in}, dtype, 2),
               bias = random_tensor({c.out}, dtype, 3), grad_y = random_tensor({c.rows, c.out}, dtype, 4);
  const std::vector<std::int64_t> offset = {0, c.rows};
  const auto run = [&](Twin twin) {
    const Tensor y = unset({c.rows, c.out}, dtype), grad_x = random_tensor({c.rows, c.in}, dtype, 5),
                 grad_weight = random_tensor({c.out, c.in}, dtype, 6), grad_bias = random_tensor({c.out}, dtype, 7);
    const kernels::Linear forward{
        .x = x, .weight = weight, .bias = c.all ? bias.view() : TensorView{}, .y = y, .segments = {offset.data(), 1}};
    twins::linear_forward(twin, forward);
    twins::linear_backward(twin, {.forward = forward,
                                  .grad_y = grad_y,
                                  .grad_x = c.all ? grad_x.view() : TensorView{},
                                  .grad_weight = grad_weight,
                                  .grad_bias = c.all ? grad_bias.view() : TensorView{}});
    return std::vector<Tensor>{y, grad_x, grad_weight, grad_bias};
  };
  const std::vector<Tensor> got = compare_twins("linear", run);
  if (c.rows != 70) return;
  // A row has the same bits alone.
  for (std::int64_t row : {0, 31, 69}) {
    const std::vector<std::int64_t> one = {0, 1};
    const Tensor y = unset({1, c.out}, dtype);
    twins::linear_forward(Twin::cuda, {.x = slice_rows(x, row, 1),
                                       .weight = weight,
                                       .bias = c.all ? bias.view() : TensorView{},
                                       .y = y,
                                       .segments = {one.data(), 1}});
    CHECK(same_bits(y, slice_rows(got[0], row, 1)));
  }
}

}  // namespace
}  // namespace amend::test
