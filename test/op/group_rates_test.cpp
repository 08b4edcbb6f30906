#include "autograd/op/group_rates.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

constexpr int kCells = 4;
constexpr double kTemperature = 0.3;

/// Cells -1 .. kCells - 1.
Tensor random_cells(std::int64_t rows) {
  Tensor cell = test::random_integers({rows}, kCells + 1, 8);
  for (std::int64_t r = 0; r < rows; ++r) --cell.as<std::int32_t>()[r];
  return cell;
}

Tensor rates_of(const TensorView& logits, const TensorView& cell, int cells = kCells) {
  Tensor rates({logits.extent(0), cells}, logits.dtype);
  kernels::group_rates_forward(
      {.logits = logits, .cell = cell, .cells = cells, .temperature = kTemperature, .rates = rates}, Stream{});
  return rates;
}

Tensor gradient_of(const TensorView& logits, const TensorView& cell) {
  const Tensor grad = test::random_tensor({logits.extent(0), kCells}, logits.dtype, 9);
  Tensor rates(grad.view().shape, logits.dtype), gradient(logits.shape, logits.dtype);
  kernels::group_rates_backward(
      {.forward = {.logits = logits, .cell = cell, .cells = kCells, .temperature = kTemperature, .rates = rates},
       .grad_rates = grad,
       .grad_logits = gradient},
      Stream{});
  return gradient;
}

TEST_CASE("group_rates agrees with its definition") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t rows = 1200;
  const Tensor logits = test::random_tensor({3, rows, 2}, dtype, 1), cell = random_cells(rows);
  const auto z = test::values(logits);
  std::vector<double> want;
  for (std::int64_t b = 0; b < 3; ++b)
    for (int c = 0; c < kCells; ++c) {
      double sum = 0.0, count = 0.0;
      for (std::int64_t r = 0; r < rows; ++r) {
        if (cell.as<std::int32_t>()[r] != c) continue;
        const auto at = static_cast<std::size_t>((b * rows + r) * 2);
        sum += 1.0 / (1.0 + std::exp(-(z[at + 1] - z[at]) / kTemperature));
        count += 1.0;
      }
      want.push_back(sum / count);
    }
  CHECK(test::largest_difference(test::values(rates_of(logits, cell)), want) <=
        test::tolerance("group_rates", dtype, 1.0));
  const auto fine = test::values(gradient_of(test::convert(logits, DType::float64), cell));
  CHECK(test::largest_difference(test::values(gradient_of(logits, cell)), fine) <=
        test::tolerance("group_rates", dtype, test::largest(fine)));
}

TEST_CASE("group_rates has the gradients of finite differences") {
  const Tensor cell = test::make_tensor({9}, DType::int32, {0, 1, 2, 3, -1, 0, 1, 1, 3});
  const auto check = test::gradcheck({test::random_tensor({2, 9, 2}, DType::float64, 2)},
                                     [&](Tape& tape, const std::vector<Variable>& in) {
                                       return op::group_rates(tape, in[0], cell, kCells, kTemperature);
                                     });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("group_rates: same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor logits = test::random_tensor({3, 1500, 2}, dtype, 1), cell = random_cells(1500);
  Tensor rates, gradient;
  {
    const test::ThreadCount one(1);
    rates = rates_of(logits, cell);
    gradient = gradient_of(logits, cell);
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(rates, rates_of(logits, cell)));
    CHECK(test::same_bits(gradient, gradient_of(logits, cell)));
  }
  for (std::int64_t b = 0; b < 3; ++b)
    CHECK(test::same_bits(rates_of(slice_rows(logits, b, 1), cell), slice_rows(rates, b, 1)));
}

TEST_CASE("group_rates: edges") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor cell = test::make_tensor({2}, DType::int32, {0, 1});
  const Tensor huge = test::make_tensor({1, 2, 2}, dtype, {-1e30, 1e30, 1e30, -1e30});
  const auto rates = test::values(rates_of(huge, cell, 2));
  CHECK(rates[0] == 1.0);
  CHECK(rates[1] == Approx(0.0).margin(1e-30));
  CHECK_NOTHROW(rates_of(Tensor({0, 2, 2}, dtype), cell, 2));
  CHECK_THROWS_WITH(rates_of(huge, cell, 3), Catch::Contains("cell 2 of 3 has no rows"));
  CHECK_THROWS_WITH(rates_of(huge, cell, 1), Catch::Contains("row 1 has cell 1"));
  CHECK_THROWS_WITH(rates_of(Tensor({1, 2, 3}, dtype), cell, 2), Catch::Contains("two classes"));
}

}  // namespace
}  // namespace amend
