#include "kernels/pointwise.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(pointwise_forward, Pointwise)
AMEND_TWINS(pointwise_backward, PointwiseGradient)

namespace amend::test {
namespace {

using kernels::PointwiseOp;

TEST_CASE("cuda pointwise") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const PointwiseOp op = GENERATE(PointwiseOp::relu, PointwiseOp::silu, PointwiseOp::tanh, PointwiseOp::sigmoid);
  for (std::int64_t count : {0, 1, 777}) {
    const Tensor x = random_tensor({count}, dtype, 1, 3.0), grad_y = random_tensor({count}, dtype, 2);
    compare_twins("pointwise", [&](Twin twin) {
      const Tensor y = unset({count}, dtype), grad_x = random_tensor({count}, dtype, 3);
      twins::pointwise_forward(twin, {.op = op, .x = x, .y = y});
      twins::pointwise_backward(twin, {.forward = {.op = op, .x = x, .y = y}, .grad_y = grad_y, .grad_x = grad_x});
      return std::vector<Tensor>{y, grad_x};
    });
  }
}

}  // namespace
}  // namespace amend::test
