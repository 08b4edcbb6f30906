#include "kernels/adamw.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(gradient_norm, GradientNorm)
AMEND_TWINS(adamw, AdamW)

namespace amend::test {
namespace {

TEST_CASE("cuda gradient_norm") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t n = GENERATE(0, 1, 9000);
  compare_twins("gradient_norm", [&](Twin twin) {
    const Tensor norm = unset({1}, dtype);
    twins::gradient_norm(twin, {.grad = random_tensor({n}, dtype, 1, 1e20), .norm = norm});  // squares overflow a float
    return std::vector<Tensor>{norm};
  });
}

TEST_CASE("cuda adamw") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool all = GENERATE(false, true);    // average and clipping
  const std::int64_t n = GENERATE(0, 2500);  // none, or several blocks
  const std::vector<std::int64_t> offset = {0, n / 10, n / 10, n / 2, n};
  const Tensor rate = make_tensor({4}, DType::float64, {0.1, 0.1, 0.0, 0.02}),
               decay = make_tensor({4}, DType::float64, {0.1, 0.0, 0.1, 0.0}), norm = make_tensor({1}, dtype, {5.0});
  compare_twins("adamw", [&](Twin twin) {
    const Tensor value = random_tensor({n}, dtype, 1), first = random_tensor({n}, dtype, 2, 0.1),
                 second = random_tensor({n}, dtype, 3, 0.01, 0.1),
                 average = all ? random_tensor({n}, dtype, 4) : Tensor();
    for (std::int64_t step : {1, 2})
      twins::adamw(twin, {.value = value,
                          .grad = random_tensor({n}, dtype, 5),
                          .first_moment = first,
                          .second_moment = second,
                          .average = average,
                          .average_decay = 0.9,
                          .segments = {offset.data(), 4},
                          .learning_rate = rate,
                          .weight_decay = decay,
                          .step = step,
                          .gradient_norm = all ? norm.view() : TensorView{},
                          .max_norm = 1.0});
    return std::vector<Tensor>{value, first, second, average};
  });
}

}  // namespace
}  // namespace amend::test
