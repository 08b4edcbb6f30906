#include "kernels/adamw.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>

#include "test/support/random_networks.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

constexpr std::int64_t kSize = 40000;
const std::vector<std::int64_t> kOffset = {0, 30000, 30010, kSize};
const Tensor kRate = test::make_tensor({3}, DType::float64, {1e-2, 0.0, 3e-3});
const Tensor kDecay = test::make_tensor({3}, DType::float64, {0.1, 0.1, 0.0});

struct State {
  Tensor value, first, second, average;
};

State start(DType dtype) {
  return {test::random_tensor({kSize}, dtype, 1), Tensor({kSize}, dtype), Tensor({kSize}, dtype),
          test::random_tensor({kSize}, dtype, 2)};
}

/// The schedule of a step as a tensor.
Tensor schedule_of(const std::array<double, 3>& schedule) {
  return test::make_tensor({3}, DType::float64, {schedule.begin(), schedule.end()});
}

Tensor squares_of(const TensorView& grad) {
  const std::int64_t chunk = kernels::kSquaresChunk;
  Tensor squares({(grad.count() + chunk - 1) / chunk}, DType::float64);
  kernels::gradient_squares({.grad = grad, .squares = squares}, Stream{});
  return squares;
}

/// Step `t`. squares: absent, or those of the gradient, which is clipped. Returns the norm, 0 without squares.
Tensor step(State& s, const TensorView& grad, std::int64_t t, const TensorView& squares) {
  Tensor norm({1}, grad.dtype);
  kernels::adamw({.value = s.value,
                  .grad = grad,
                  .first_moment = s.first,
                  .second_moment = s.second,
                  .average = s.average,
                  .segments = {kOffset.data(), 3},
                  .learning_rate = kRate,
                  .weight_decay = kDecay,
                  .schedule = schedule_of(kernels::adamw_schedule(t, 0.9, 0.8, 0.95)),
                  .beta1 = 0.8,
                  .beta2 = 0.95,
                  .epsilon = 1e-6,
                  .squares = squares,
                  .norm = norm,
                  .max_norm = squares ? 0.5 : 0.0},
                 Stream{});
  return norm;
}

double norm_of(const Tensor& squares) {
  double sum = 0.0;
  for (const double square : test::values(squares)) sum += square;
  return std::sqrt(sum);
}

TEST_CASE("adamw follows Loshchilov and Hutter's algorithm 2") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool clipped = GENERATE(false, true);
  State got = start(dtype);
  auto value = test::values(got.value), average = test::values(got.average);
  const auto value0 = value, average0 = average;
  std::vector<double> m(value.size()), v(value.size());
  for (std::int64_t t = 1; t <= 3; ++t) {
    const Tensor grad = test::random_tensor({kSize}, dtype, 10 + static_cast<std::uint64_t>(t));
    auto g = test::values(grad);
    long double squares = 0.0;
    for (double x : g) squares += static_cast<long double>(x) * x;
    const double norm = static_cast<double>(std::sqrt(squares));
    const Tensor sums = squares_of(grad);
    CHECK(std::fabs(norm_of(sums) - norm) / test::tolerance("gradient_squares", DType::float64, norm) <= 1.0);
    const Tensor measured = step(got, grad, t, clipped ? sums.view() : TensorView{});
    CHECK(std::fabs(test::values(measured)[0] - (clipped ? norm : 0.0)) <= test::tolerance("adamw", dtype, norm));
    for (std::size_t i = 0; i < g.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      const std::size_t segment = at < kOffset[1] ? 0 : at < kOffset[2] ? 1 : 2;
      const double rate = test::values(kRate)[segment], decay = test::values(kDecay)[segment];
      if (rate == 0.0) continue;
      if (clipped) g[i] *= std::min(1.0, 0.5 / norm);
      m[i] = 0.8 * m[i] + 0.2 * g[i];
      v[i] = 0.95 * v[i] + 0.05 * g[i] * g[i];
      const double m_hat = m[i] / (1.0 - std::pow(0.8, t)), v_hat = v[i] / (1.0 - std::pow(0.95, t));
      value[i] -= rate * (m_hat / (std::sqrt(v_hat) + 1e-6) + decay * value[i]);
      average[i] = 0.9 * average[i] + 0.1 * value[i];
    }
  }
  CHECK(test::largest_difference(test::values(got.value), value) <=
        test::tolerance("adamw", dtype, test::largest(value)));
  CHECK(test::largest_difference(test::values(got.average), average) <=
        test::tolerance("adamw", dtype, test::largest(value)));
  // Learning rate 0: nothing moves, not even the average.
  const auto now = test::values(got.value), average_now = test::values(got.average);
  for (std::size_t i = 30000; i < 30010; ++i) {
    CHECK(now[i] == value0[i]);
    CHECK(average_now[i] == average0[i]);
    CHECK(test::values(slice_rows(got.second, static_cast<std::int64_t>(i), 1))[0] == 0.0);
  }
}

TEST_CASE("adamw by hand: the first step moves by the learning rate, the norm clips") {
  // g = 3: m / (1 - b1) = 3, sqrt(v / (1 - b2)) = 3, so the step is lr; decay lr * wd * value = 0.1 * 0.5 * 2.
  Tensor value = test::make_tensor({1}, DType::float64, {2.0}), grad = test::make_tensor({1}, DType::float64, {3.0});
  Tensor first({1}, DType::float64), second({1}, DType::float64);
  const Tensor rate = test::make_tensor({1}, DType::float64, {0.1}),
               decay = test::make_tensor({1}, DType::float64, {0.5});
  const Tensor squares = test::make_tensor({1}, DType::float64, {36.0}), norm({1}, DType::float64);
  const std::vector<std::int64_t> offset = {0, 1};
  kernels::adamw({.value = value,
                  .grad = grad,
                  .first_moment = first,
                  .second_moment = second,
                  .segments = {offset.data(), 1},
                  .learning_rate = rate,
                  .weight_decay = decay,
                  .schedule = schedule_of(kernels::adamw_schedule(1)),
                  .epsilon = 0.0,
                  .squares = squares,
                  .norm = norm,
                  .max_norm = 2.0},
                 Stream{});
  CHECK(norm.as<double>()[0] == 6.0);
  CHECK(value.as<double>()[0] == Approx(2.0 - 0.1 - 0.1 * 0.5 * 2.0).epsilon(1e-14));
  CHECK(first.as<double>()[0] == Approx(0.1 * 1.0).epsilon(1e-14));  // 3 scaled by 2 / 6
  CHECK(second.as<double>()[0] == Approx(0.001 * 1.0).epsilon(1e-12));
}

TEST_CASE("adamw: same bits for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor grad = test::random_tensor({kSize}, dtype, 3);
  State want = start(dtype);
  Tensor squares;
  {
    const test::ThreadCount one(1);
    squares = squares_of(grad);
    step(want, grad, 1, squares);
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    State got = start(dtype);
    CHECK(test::same_bits(squares, squares_of(grad)));
    step(got, grad, 1, squares);
    CHECK(test::same_bits(got.value, want.value));
    CHECK(test::same_bits(got.average, want.average));
  }
}

TEST_CASE("adamw: edges") {
  const Tensor empty({0}, DType::float32);
  CHECK(norm_of(squares_of(empty)) == 0.0);
  CHECK(norm_of(squares_of(test::make_tensor({2}, DType::float32, {3e30, 4e30}))) == Approx(5e30));
  State s = start(DType::float32);
  const Tensor grad({kSize}, DType::float32);
  CHECK_THROWS_WITH(step(s, grad, 0, {}), Catch::Contains("steps count from 1"));
  CHECK_THROWS_WITH(step(s, grad, 1, Tensor({2}, DType::float64)), Catch::Contains("squares"));
  CHECK_THROWS_WITH(step(s, Tensor({3}, DType::float32), 1, {}), Catch::Contains("grad"));
  step(s, grad, 1, {});  // zero gradients: decay only
  CHECK(test::values(s.value)[0] == Approx(test::values(start(DType::float32).value)[0] * (1.0 - 1e-3)));
}

}  // namespace
}  // namespace amend
