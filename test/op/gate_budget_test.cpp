#include "kernels/gate_budget.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>

#include "kernels/gate_math.hpp"
#include "test/support/op_run.hpp"
#include "test/support/random_networks.hpp"

namespace amend {
namespace {

Tensor budgets(const std::vector<std::int32_t>& values) {
  const Tensor tensor({static_cast<std::int64_t>(values.size())}, DType::int32);
  std::copy(values.begin(), values.end(), tensor.as<std::int32_t>());
  return tensor;
}

std::vector<double> shifted(const Tensor& logit, const Tensor& counted, const std::vector<std::int64_t>& offset,
                            const std::vector<std::int32_t>& budget) {
  const Tensor result({logit.count()}, logit.view().dtype);
  kernels::gate_budget({.logit = logit,
                        .counted = counted,
                        .budget = budgets(budget),
                        .segments = {offset.data(), static_cast<std::int32_t>(budget.size())},
                        .shifted = result},
                       Stream{});
  return test::values(result);
}

TEST_CASE("a budget leaves the largest logits above 0, in every network its own number") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::vector<std::int64_t> offset = {0, 1, 700, 700, 1000, 1300};
  const Tensor logit = test::random_tensor({1300}, dtype, 1, 2.5), counted = test::random_tensor({1300}, dtype, 2);
  for (std::int64_t i = 0; i < 1300; i += 3) {  // nothing to keep there
    if (dtype == DType::float32)
      counted.as<float>()[i] = 0.0f;
    else
      counted.as<double>()[i] = 0.0;
  }
  const bool some = GENERATE(false, true);
  const std::vector<std::int32_t> budget = {1, 123, 4, 0, -1};
  const std::vector<double> x = test::values(logit), c = test::values(counted),
                            y = shifted(logit, some ? counted : Tensor(), offset, budget);
  for (std::size_t s = 0; s < budget.size(); ++s) {
    CAPTURE(s, some);
    std::vector<double> candidates;
    for (auto i = static_cast<std::size_t>(offset[s]); i < static_cast<std::size_t>(offset[s + 1]); ++i)
      if (!some || c[i] != 0.0) candidates.push_back(x[i]);
    std::sort(candidates.rbegin(), candidates.rend());
    const auto wanted = static_cast<std::size_t>(std::max(budget[s], 0));
    std::size_t open = 0;
    for (auto i = static_cast<std::size_t>(offset[s]); i < static_cast<std::size_t>(offset[s + 1]); ++i) {
      if (budget[s] < 0) {
        CHECK(y[i] == x[i]);
        continue;
      }
      open += y[i] > 0.0;
      if (some && c[i] == 0.0) {
        CHECK(y[i] == -1.0);
      } else {
        const bool among =
            wanted > 0 && !candidates.empty() && x[i] >= candidates[std::min(wanted, candidates.size()) - 1];
        CHECK((y[i] > 0.0) == among);
        if (wanted > 0 && wanted < candidates.size())  // the cut lies halfway
          CHECK(x[i] - y[i] == Approx((candidates[wanted - 1] + candidates[wanted]) / 2).margin(1e-6));
      }
    }
    if (budget[s] >= 0) CHECK(open == std::min(wanted, candidates.size()));
  }
}

TEST_CASE("of equal logits at the cut none stays: never more than the budget") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const auto open = [&](const std::vector<double>& logits, std::int32_t budget) {
    const auto count = static_cast<std::int64_t>(logits.size());
    std::string marks;
    for (const double value : shifted(test::make_tensor({count}, dtype, logits), Tensor(), {0, count}, {budget}))
      marks += value > 0.0 ? '1' : '0';
    return marks;
  };
  CHECK(open({1, 2, 2, 2, 5}, 2) == "00001");
  CHECK(open({1, 2, 2, 2, 5}, 4) == "01111");
  CHECK(open({3, 3, 3}, 3) == "111");
  CHECK(open({3, 3, 3}, 9) == "111");
  CHECK(open({3, 3, 3}, 2) == "000");
  CHECK(open({-7, -8, -9}, 1) == "100");
  CHECK(open({7, 8, 9}, 0) == "000");
  // Neighbours: nothing lies between them, and the cut falls on the lower one.
  const double low =
      dtype == DType::float32 ? static_cast<double>(std::nextafter(1.0f, 0.0f)) : std::nextafter(1.0, 0.0);
  CHECK(open({low, 1.0}, 1) == "01");
}

TEST_CASE("keys order numbers as their values do") {
  const std::vector<double> ascending = {-1e30, -2.5, -1e-30, 0.0, 1e-30, 1.0, 2.5, 1e30};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    const double x = ascending[i];
    const auto f = static_cast<float>(x);
    CHECK(kernels::from_ordered_key<double>(kernels::ordered_key(x)) == x);
    CHECK(kernels::from_ordered_key<float>(kernels::ordered_key(f)) == f);
    if (i == 0) continue;
    CHECK(kernels::ordered_key(ascending[i - 1]) < kernels::ordered_key(x));
    CHECK(kernels::ordered_key(static_cast<float>(ascending[i - 1])) < kernels::ordered_key(f));
  }
  CHECK(kernels::ordered_key(-0.0f) < kernels::ordered_key(0.0f));
  CHECK(kernels::ordered_key(1e30f) <= 0xffffffffu);
}

TEST_CASE("a budget that does not fit its logits is an error") {
  const std::vector<std::int64_t> offset = {0, 3};
  const Tensor logit({3}, DType::float32), result({3}, DType::float32);
  const auto run = [&](const Tensor& counted, const Tensor& budget, const Tensor& y) {
    kernels::gate_budget(
        {.logit = logit, .counted = counted, .budget = budget, .segments = {offset.data(), 1}, .shifted = y}, Stream{});
  };
  CHECK_NOTHROW(run(Tensor(), budgets({1}), result));
  CHECK_THROWS_WITH(run(Tensor({2}, DType::float32), budgets({1}), result), Catch::Contains("`counted` of shape (3)"));
  CHECK_THROWS_WITH(run(Tensor(), budgets({1, 2}), result), Catch::Contains("`budget` of shape (1)"));
  CHECK_THROWS_WITH(run(Tensor(), result, result), Catch::Contains("`budget`"));
  CHECK_THROWS_WITH(run(Tensor(), budgets({1}), Tensor({3}, DType::float64)), Catch::Contains("`shifted` of float32"));
}

}  // namespace
}  // namespace amend
