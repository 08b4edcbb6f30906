#include "kernels/adamw.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(gradient_squares, GradientSquares)
AMEND_TWINS(adamw, AdamW)

namespace amend::test {
namespace {

TEST_CASE("cuda gradient_squares") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t n = GENERATE(0, 1, 9000);
  const auto run = [&](Twin twin) {
    const Tensor squares = unset({(n + kernels::kSquaresChunk - 1) / kernels::kSquaresChunk}, DType::float64);
    twins::gradient_squares(twin,
                            {.grad = random_tensor({n}, dtype, 1, 1e20), .squares = squares});  // overflow a float
    return squares;
  };
  compare_twins("gradient_squares", [&](Twin twin) {
    const Tensor total({1}, DType::float64);  // the parts are cut differently
    for (const double part : values(run(twin))) total.as<double>()[0] += part;
    return std::vector<Tensor>{total};
  });
}

TEST_CASE("cuda adamw") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool all = GENERATE(false, true);    // average and clipping
  const std::int64_t n = GENERATE(0, 5000);  // none, or several blocks
  const std::vector<std::int64_t> offset = {0, n / 10, n / 10, n / 2, n};
  const Tensor rate = make_tensor({4}, DType::float64, {0.1, 0.1, 0.0, 0.02}),
               decay = make_tensor({4}, DType::float64, {0.1, 0.0, 0.1, 0.0}),
               squares = n > 0 ? make_tensor({2}, DType::float64, {9.0, 16.0}) : Tensor({0}, DType::float64);
  compare_twins("adamw", [&](Twin twin) {
    const Tensor value = random_tensor({n}, dtype, 1), first = random_tensor({n}, dtype, 2, 0.1),
                 second = random_tensor({n}, dtype, 3, 0.01, 0.1),
                 average = all ? random_tensor({n}, dtype, 4) : Tensor(), norm = unset({1}, dtype);
    for (std::int64_t step : {1, 2}) {
      const auto schedule = kernels::adamw_schedule(step, 0.9);
      twins::adamw(twin, {.value = value,
                          .grad = random_tensor({n}, dtype, 5),
                          .first_moment = first,
                          .second_moment = second,
                          .average = average,
                          .segments = {offset.data(), 4},
                          .learning_rate = rate,
                          .weight_decay = decay,
                          .schedule = make_tensor({3}, DType::float64, {schedule.begin(), schedule.end()}),
                          .squares = all ? squares.view() : TensorView{},
                          .norm = norm,
                          .max_norm = 1.0});
    }
    return std::vector<Tensor>{value, first, second, average, all ? norm : Tensor()};
  });
}

}  // namespace
}  // namespace amend::test
