#include "autograd/op/rate_gap.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

constexpr double kEpsilon = 0.02;

Tensor gap_of(const TensorView& rates, int conditions, int groups, double epsilon = kEpsilon) {
  Tensor gap({rates.extent(0)}, rates.dtype);
  kernels::rate_gap_forward(
      {.rates = rates, .conditions = conditions, .groups = groups, .epsilon = epsilon, .gap = gap}, Stream{});
  return gap;
}

TEST_CASE("rate_gap agrees with its definition") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int conditions = GENERATE(1, 2), groups = GENERATE(2, 3, 5);
  const Tensor rates = test::random_tensor({6, conditions * groups}, dtype, 1, 0.3);
  const auto r = test::values(rates);
  std::vector<double> want;
  for (int b = 0; b < 6; ++b) {
    double gap = 0.0;
    for (int c = 0; c < conditions; ++c) {
      double sum = 0.0;
      int pairs = 0;
      for (int i = 0; i < groups; ++i)
        for (int j = i + 1; j < groups; ++j, ++pairs) {
          const auto base = static_cast<std::size_t>((b * conditions + c) * groups);
          const double d = r[base + static_cast<std::size_t>(i)] - r[base + static_cast<std::size_t>(j)];
          sum += std::sqrt(d * d + kEpsilon * kEpsilon) - kEpsilon;
        }
      gap += sum / pairs;
    }
    want.push_back(gap);
  }
  CHECK(test::largest_difference(test::values(gap_of(rates, conditions, groups)), want) <=
        test::tolerance("rate_gap", dtype, test::largest(want)));
  for (std::int64_t b = 0; b < 6; ++b)
    CHECK(test::same_bits(gap_of(slice_rows(rates, b, 1), conditions, groups),
                          slice_rows(gap_of(rates, conditions, groups), b, 1)));
}

TEST_CASE("rate_gap has the gradients of finite differences") {
  // The third derivative grows with 1 / epsilon^2: a smaller step than usual.
  const auto check = test::gradcheck(
      {test::random_tensor({3, 6}, DType::float64, 2, 0.3)},
      [&](Tape& tape, const std::vector<Variable>& in) { return op::rate_gap(tape, in[0], 2, 3, kEpsilon); },
      {.step = 1e-6});
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("rate_gap: equal rates are no gap; arguments are checked") {
  const Tensor equal = test::make_tensor({1, 4}, DType::float32, {0.3, 0.3, 0.7, 0.7});
  CHECK(test::values(gap_of(equal, 2, 2))[0] == 0.0);
  CHECK_NOTHROW(gap_of(Tensor({0, 4}, DType::float32), 2, 2));
  CHECK_THROWS_WITH(gap_of(equal, 4, 1), Catch::Contains("two groups"));
  CHECK_THROWS_WITH(gap_of(equal, 2, 2, 0.0), Catch::Contains("positive epsilon"));
  CHECK_THROWS_WITH(gap_of(equal, 2, 3), Catch::Contains("shape"));
}

}  // namespace
}  // namespace amend
