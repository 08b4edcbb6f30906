#include "kernels/gate_budget.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(gate_budget, GateBudget)

namespace amend::test {
namespace {

TEST_CASE("cuda gate_budget") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool some = GENERATE(false, true);
  const std::vector<std::int64_t> offset = {0, 1, 700, 700, 1000, 1300, 1301};
  const Tensor budget({6}, DType::int32);
  const std::vector<std::int32_t> amounts = {1, 123, 4, 0, -1, 7};
  std::copy(amounts.begin(), amounts.end(), budget.as<std::int32_t>());
  const Tensor logit = random_tensor({1301}, dtype, 1, 2.5), counted = random_tensor({1301}, dtype, 2);
  const std::size_t size = dtype == DType::float32 ? sizeof(float) : sizeof(double);
  for (std::int64_t i = 0; i < 1301; ++i) {
    const auto at = [&](std::int64_t k) {
      return static_cast<char*>(logit.view().data) + static_cast<std::size_t>(k) * size;
    };
    if (i % 3 == 0)
      std::fill_n(static_cast<char*>(counted.view().data) + static_cast<std::size_t>(i) * size, size, '\0');
    if (i % 5 == 0 && i > 0) std::copy_n(at(i - 1), size, at(i));  // equal logits
  }
  const std::vector<Tensor> got = compare_twins("gate_budget", [&](Twin twin) {
    const Tensor shifted = unset({1301}, dtype);
    twins::gate_budget(twin, {.logit = logit,
                              .counted = some ? counted : Tensor(),
                              .budget = budget,
                              .segments = {offset.data(), 6},
                              .shifted = shifted});
    return std::vector<Tensor>{shifted};
  });
  std::int64_t open = 0;
  const std::vector<double> y = values(got[0]);
  for (std::size_t i = 1; i < 700; ++i) open += y[i] > 0.0;
  CHECK(open <= 123);
  CHECK(open >= 122);  // one less where two equal logits lie at the cut
}

TEST_CASE("cuda gate_budget of no networks") {
  const std::vector<std::int64_t> offset = {0};
  const Tensor none({0}, DType::float32), budget({0}, DType::int32);
  CHECK_NOTHROW(twins::gate_budget(
      Twin::cuda, {.logit = none, .counted = {}, .budget = budget, .segments = {offset.data(), 0}, .shifted = none}));
}

}  // namespace
}  // namespace amend::test
