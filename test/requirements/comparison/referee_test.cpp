#include "requirements/comparison/referee.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/fairness.hpp"
#include "requirements/metric/utility.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

struct Setup {
  Dataset dataset = test::small_dataset(400);
  std::vector<SubjectNetwork> originals = test::mixed_networks(4, 2), edited = originals;

  Setup() {
    for (SubjectNetwork& network : edited) {
      for (std::size_t e = 0; e < network.weights.size(); e += 2) network.weights[e] = 0.0f;
      for (float& bias : network.biases) bias += 0.1f;
    }
  }
  Referee referee(const std::string& requirement) const {
    return {dataset, dataset.audit, pointers_to(originals), requirement, {"group"}};
  }
};

}  // namespace

TEST_CASE("a referee measures what the audit's metrics say") {
  const Setup setup;
  const Rows& rows = setup.dataset.audit;
  const auto pruning = setup.referee("pruning"), odds = setup.referee("equalised_odds");
  const auto by_weights = pruning.measure(pointers_to(setup.edited)), by_gaps = odds.measure(pointers_to(setup.edited));
  for (std::size_t n = 0; n < 4; ++n) {
    CAPTURE(n);
    const SubjectNetwork* const pair[] = {&setup.originals[n], &setup.edited[n]};
    const auto logits = predict_logits(pair, rows.input.data(), rows.count, setup.dataset.inputs);
    const std::size_t half = logits.size() / 2;
    const std::span<const float> before(logits.data(), half), after(logits.data() + half, half);
    double divergence = 0.0;
    for (const double row : row_divergence(before, after, 2)) divergence += row / static_cast<double>(rows.count);
    const auto was = predicted_classes(before, 2), is = predicted_classes(after, 2);
    CHECK(by_weights[n].divergence.value() == Approx(divergence));
    CHECK(divergence > 1e-4);
    CHECK(by_weights[n].accuracy_drop == Approx(100.0 * (accuracy(was, rows.label) - accuracy(is, rows.label))));
    const double size = static_cast<double>(setup.edited[n].weights.size());
    CHECK(by_weights[n].requirement == Approx(std::floor(size / 2.0) / size));
    CHECK(pruning.unedited()[n] == 1.0);
    const auto gap = [&](const std::vector<std::int32_t>& predicted) {
      return fairness_metrics(predicted, rows.label, group_ids(setup.dataset, rows, {"group"}), {{"x", "y"}})
          .equalised_odds_sum.value.value();
    };
    CHECK(by_gaps[n].requirement == Approx(gap(is)));
    CHECK(odds.unedited()[n] == Approx(gap(was)));
  }
}

TEST_CASE("features that lead nowhere are not used") {
  const Setup setup;
  auto edited = setup.originals;
  for (SubjectNetwork& network : edited)
    for (int i = 0; i < network.widths[1]; ++i) network.weights[static_cast<std::size_t>(i * 7)] = 0.0f;  // feature a
  const auto measured = setup.referee("data_minimisation").measure(pointers_to(edited));
  for (const ComparedNetwork& network : measured) CHECK(network.requirement == 4.0);
}

TEST_CASE("a constant answer diverges as much as the mean prediction does") {
  const Setup setup;
  const auto constant = setup.referee("pruning").constant_divergence();
  const Rows& rows = setup.dataset.audit;
  for (std::size_t n = 0; n < 4; ++n) {
    const SubjectNetwork* const one = &setup.originals[n];
    const auto logits = predict_logits({&one, 1}, rows.input.data(), rows.count, setup.dataset.inputs);
    double share = 0.0;
    const auto count = static_cast<std::size_t>(rows.count);
    std::vector<double> p(count);
    for (std::size_t r = 0; r < count; ++r) {
      p[r] = 1.0 / (1.0 + std::exp(static_cast<double>(logits[2 * r]) - static_cast<double>(logits[2 * r + 1])));
      share += p[r] / static_cast<double>(count);
    }
    double divergence = 0.0;
    const auto term = [](double a, double m) { return a > 0.0 ? 0.5 * a * std::log(a / m) : 0.0; };
    for (std::size_t r = 0; r < count; ++r) {
      const double m = 0.5 * (p[r] + share);
      divergence += (term(p[r], m) + term(share, m) + term(1 - p[r], 1 - m) + term(1 - share, 1 - m)) /
                    static_cast<double>(count);
    }
    CHECK(constant[n] == Approx(divergence).epsilon(1e-4));
  }
}

TEST_CASE("a gap that rests on too few rows is no measurement") {
  Setup setup;
  for (std::int32_t& group : setup.dataset.audit.sensitive[0]) group = 0;
  setup.dataset.audit.sensitive[0][0] = 1;
  CHECK_THROWS_AS(setup.referee("equalised_odds"), InputError);
  CHECK_NOTHROW(setup.referee("pruning"));
}

}  // namespace amend
