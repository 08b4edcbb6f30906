// divergence, cross_entropy, group_rates and rate_gap: what is made of (networks, rows, classes) logits.

#include <cmath>

#include "kernels/cross_entropy.hpp"
#include "kernels/divergence.hpp"
#include "kernels/group_rates.hpp"
#include "kernels/rate_gap.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(divergence_forward, Divergence)
AMEND_TWINS(divergence_backward, DivergenceGradient)
AMEND_TWINS(cross_entropy_forward, CrossEntropy)
AMEND_TWINS(cross_entropy_backward, CrossEntropyGradient)
AMEND_TWINS(group_rates_forward, GroupRates)
AMEND_TWINS(group_rates_backward, GroupRatesGradient)
AMEND_TWINS(rate_gap_forward, RateGap)
AMEND_TWINS(rate_gap_backward, RateGapGradient)

namespace amend::test {
namespace {

constexpr double kLn2 = 0.69314718055994530942;

/// Network b's rows of every output have the bits of the network alone: `run(first, count)` runs networks
/// [first, first + count).
template <class Run>
void check_alone(std::int64_t networks, const Run& run) {
  const std::vector<Tensor> all = run(0, networks);
  for (std::int64_t b = 0; b < networks; ++b) {
    const std::vector<Tensor> alone = run(b, 1);
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(same_bits(alone[i], slice_rows(all[i], b, 1)));
  }
}

TEST_CASE("cuda divergence") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t classes = GENERATE(2, 3);
  const double scale = GENERATE(0.1, 30.0);
  const Tensor p = random_tensor({3, 400, classes}, dtype, 1, scale),
               q = random_tensor({3, 400, classes}, dtype, 2, scale), grad = random_tensor({3}, dtype, 3);
  const auto run = [&](Twin twin, std::int64_t first, std::int64_t count) {
    const Tensor divergence = unset({count}, dtype), grad_q({count, 400, classes}, dtype);
    const kernels::Divergence forward{.logits_p = slice_rows(p, first, count),
                                      .logits_q = slice_rows(q, first, count),
                                      .row_count = 300,
                                      .divergence = divergence};
    twins::divergence_forward(twin, forward);
    twins::divergence_backward(
        twin, {.forward = forward, .grad_divergence = slice_rows(grad, first, count), .grad_logits_q = grad_q});
    return std::vector<Tensor>{divergence, grad_q};
  };
  compare_twins("divergence", [&](Twin twin) { return run(twin, 0, 3); }, {kLn2, 1.0 / 300});
  check_alone(3, [&](std::int64_t first, std::int64_t count) { return run(Twin::cuda, first, count); });
  CHECK(run(Twin::cuda, 0, 0)[0].count() == 0);
}

TEST_CASE("cuda cross_entropy") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t classes = GENERATE(2, 3);
  const bool weighted = GENERATE(false, true);
  const Tensor logits = random_tensor({3, 300, classes}, dtype, 1, 4.0),
               label = random_integers({3, 300}, static_cast<std::int32_t>(classes), 2),
               weight = random_tensor({3, classes}, dtype, 3), grad = random_tensor({3}, dtype, 4);
  const auto run = [&](Twin twin, std::int64_t first, std::int64_t count) {
    const Tensor loss = unset({count}, dtype), grad_logits({count, 300, classes}, dtype);
    const kernels::CrossEntropy forward{.logits = slice_rows(logits, first, count),
                                        .label = slice_rows(label, first, count),
                                        .class_weight = weighted ? slice_rows(weight, first, count) : TensorView{},
                                        .loss = loss};
    twins::cross_entropy_forward(twin, forward);
    twins::cross_entropy_backward(
        twin, {.forward = forward, .grad_loss = slice_rows(grad, first, count), .grad_logits = grad_logits});
    return std::vector<Tensor>{loss, grad_logits};
  };
  compare_twins("cross_entropy", [&](Twin twin) { return run(twin, 0, 3); });
  check_alone(3, [&](std::int64_t first, std::int64_t count) { return run(Twin::cuda, first, count); });
}

TEST_CASE("cuda cross_entropy: a NaN among the logits is one of the loss, on the CPU, too") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t classes = GENERATE(2, 3, 5);
  for (std::int64_t at = 0; at < classes; ++at) {
    const Tensor logits = random_tensor({3, 4, classes}, dtype, 1), loss({3}, dtype),
                 label = random_integers({3, 4}, static_cast<std::int32_t>(classes), 2);
    const std::int64_t where = (1 * 4 + 2) * classes + at;
    if (dtype == DType::float32)
      logits.as<float>()[where] = std::numeric_limits<float>::quiet_NaN();
    else
      logits.as<double>()[where] = std::numeric_limits<double>::quiet_NaN();
    for (const Twin twin : {Twin::cpu, Twin::cuda}) {
      twins::cross_entropy_forward(twin, {.logits = logits, .label = label, .loss = loss});
      CAPTURE(classes, at);
      CHECK(std::isfinite(values(loss)[0]));
      CHECK(std::isnan(values(loss)[1]));
      CHECK(std::isfinite(values(loss)[2]));
    }
  }
}

TEST_CASE("cuda cross_entropy: a label that is no class gives NaN") {
  const Tensor logits({2, 2, 3}, DType::float32), loss({2}, DType::float32);
  const Tensor label = make_tensor({2, 2}, DType::int32, {0, 2, 1, 3});
  twins::cross_entropy_forward(Twin::cuda, {.logits = logits, .label = label, .loss = loss});
  CHECK(values(loss)[0] == Approx(std::log(3.0)));
  CHECK(std::isnan(values(loss)[1]));
}

TEST_CASE("cuda group_rates") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor logits = random_tensor({3, 300, 2}, dtype, 1, 2.0), grad = random_tensor({3, 4}, dtype, 3);
  const Tensor cell = random_integers({300}, 5, 2);
  for (std::int64_t row = 0; row < 300; ++row) cell.as<std::int32_t>()[row] -= 1;
  const auto run = [&](Twin twin, std::int64_t first, std::int64_t count) {
    const Tensor rates = unset({count, 4}, dtype), grad_logits({count, 300, 2}, dtype);
    const kernels::GroupRates forward{
        .logits = slice_rows(logits, first, count), .cell = cell, .cells = 4, .temperature = 0.4, .rates = rates};
    twins::group_rates_forward(twin, forward);
    twins::group_rates_backward(
        twin, {.forward = forward, .grad_rates = slice_rows(grad, first, count), .grad_logits = grad_logits});
    return std::vector<Tensor>{rates, grad_logits};
  };
  compare_twins("group_rates", [&](Twin twin) { return run(twin, 0, 3); });
  check_alone(3, [&](std::int64_t first, std::int64_t count) { return run(Twin::cuda, first, count); });
}

TEST_CASE("cuda group_rates: an empty cell and an unknown one give NaN") {
  const Tensor logits({1, 2, 2}, DType::float32), rates({1, 2}, DType::float32);
  const auto rates_of = [&](std::vector<double> cells) {
    const Tensor cell = make_tensor({2}, DType::int32, cells);
    twins::group_rates_forward(Twin::cuda,
                               {.logits = logits, .cell = cell, .cells = 2, .temperature = 1.0, .rates = rates});
    return values(rates);
  };
  CHECK(rates_of({0, 1}) == std::vector<double>{0.5, 0.5});
  CHECK(std::isnan(rates_of({0, -1})[1]));
  CHECK(std::isnan(rates_of({0, 2})[0]));
}

TEST_CASE("cuda rate_gap") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int groups = GENERATE(2, 4);
  const std::int64_t networks = GENERATE(0, 300);
  const Tensor rates = random_tensor({networks, 2 * groups}, dtype, 1, 0.2, 0.5),
               grad = random_tensor({networks}, dtype, 2);
  compare_twins("rate_gap", [&](Twin twin) {
    const Tensor gap = unset({networks}, dtype), grad_rates({networks, 2 * groups}, dtype);
    const kernels::RateGap forward{.rates = rates, .conditions = 2, .groups = groups, .epsilon = 0.01, .gap = gap};
    twins::rate_gap_forward(twin, forward);
    twins::rate_gap_backward(twin, {.forward = forward, .grad_gap = grad, .grad_rates = grad_rates});
    return std::vector<Tensor>{gap, grad_rates};
  });
}

}  // namespace
}  // namespace amend::test
