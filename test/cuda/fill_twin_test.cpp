#include "kernels/fill.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(fill, Fill)
AMEND_TWINS(modulation_start, ModulationStart)
AMEND_TWINS(accumulate, Accumulate)
AMEND_TWINS(multiply, Multiply)

namespace amend::test {
namespace {

TEST_CASE("cuda fill, modulation_start, accumulate, multiply") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t count = GENERATE(0, 1, 255, 256, 1000);
  compare_twins("pointwise", [&](Twin twin) {
    const Tensor y = unset({count}, dtype), sum = random_tensor({count}, dtype, 1), start = unset({count, 21}, dtype),
                 product = random_tensor({count}, dtype, 3);
    twins::fill(twin, {.y = y, .value = 0.7});
    twins::accumulate(twin, {.x = random_tensor({count}, dtype, 2), .scale = -0.3, .y = sum});
    twins::modulation_start(twin, {.y = start, .ones = 7, .step = 0.5});
    twins::multiply(twin, {.x = random_tensor({count}, dtype, 4), .y = product});
    return std::vector<Tensor>{y, sum, start, product};
  });
}

}  // namespace
}  // namespace amend::test
