#include "requirements/baseline/randomised_thresholds.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/error.hpp"
#include "requirements/metric/expected_fairness.hpp"
#include "test/requirements/grouped_rows.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;

namespace {

const std::vector<double> kSlack{0.0, 0.03, 0.1, 0.3, 1.0};

/// Bounds of the convex hull of a group's points above each false-positive rate 0, 1 / steps .. 1, from all pairs of
/// points.
struct Bounds {
  std::vector<double> low, high;
};

Bounds bounds_of(const std::vector<CountedRates>& points, int steps) {
  Bounds bounds;
  for (int s = 0; s <= steps; ++s) {
    const double f = static_cast<double>(s) / steps;
    double low = 1.0, high = 0.0;
    for (const CountedRates& a : points)
      for (const CountedRates& b : points) {
        if (a.false_positive > f || b.false_positive < f) continue;
        const double width = b.false_positive - a.false_positive;
        const double share = width > 0.0 ? (f - a.false_positive) / width : 0.0;
        const double t = a.true_positive + share * (b.true_positive - a.true_positive);
        low = std::min(low, t), high = std::max(high, t);
      }
    bounds.low.push_back(low), bounds.high.push_back(high);
  }
  return bounds;
}

/// Least expected error over a grid: false-positive rates of each group in a window of `slack` that begins at a grid
/// point, true-positive rates as high as the hull and the window allow.
double grid_error(const GroupedRows& rows, std::size_t network, double slack, int steps) {
  std::vector<Bounds> bounds;
  std::vector<double> positives, negatives;
  for (int g = 0; g < rows.groups; ++g) {
    bounds.push_back(bounds_of(all_rates(rows, network, g), steps));
    double count[2] = {0.0, 0.0};
    for (std::size_t row = 0; row < rows.label.size(); ++row)
      if (rows.group[row] == g) count[rows.label[row]] += 1.0;
    negatives.push_back(count[0]), positives.push_back(count[1]);
  }
  const int window = static_cast<int>(std::floor(slack * steps + 1e-9));
  double least = 1e30;
  for (int f0 = 0; f0 <= steps; ++f0)
    for (int t0 = 0; t0 <= 4 * steps; ++t0) {
      const double low = static_cast<double>(t0) / (4 * steps), high = low + slack;
      double wrong = 0.0;
      for (std::size_t g = 0; g < bounds.size(); ++g) {
        double best = 1e30;
        for (int f = f0; f <= std::min(f0 + window, steps); ++f) {
          const auto at = static_cast<std::size_t>(f);
          const double t = std::min(bounds[g].high[at], high);
          if (t < low || t < bounds[g].low[at]) continue;
          best = std::min(best, positives[g] * (1.0 - t) + negatives[g] * f / steps);
        }
        wrong += best;
      }
      least = std::min(least, wrong / static_cast<double>(rows.label.size()));
    }
  return least;
}

std::vector<double> probabilities(const GroupedRows& rows, const RandomisedThresholds& thresholds) {
  return selection_probabilities(rows.logits, rows.group, {&thresholds, 1});
}

ExpectedFairness expected(const GroupedRows& rows, const RandomisedThresholds& thresholds) {
  return expected_fairness(probabilities(rows, thresholds), rows.label, rows.group, rows.names(), 1).front();
}

}  // namespace

TEST_CASE("randomised thresholds keep to the slack, and at slack 0 the gaps are 0") {
  for (const int groups : {2, 3, 5})
    for (const double steps : {0.0, 5.0}) {
      const GroupedRows rows = grouped_rows(3, 400, groups, 21, steps);
      const auto found = fit_randomised_thresholds(rows.view(), kSlack, 1);
      REQUIRE(found.size() == 3);
      for (std::size_t n = 0; n < 3; ++n)
        for (std::size_t s = 0; s < kSlack.size(); ++s) {
          const RandomisedThresholds& thresholds = found[n][s];
          const ExpectedFairness fairness = expected(alone(rows, n), thresholds);
          CHECK(*fairness.true_positive_gap.value <= kSlack[s] + 1e-9);
          CHECK(*fairness.false_positive_gap.value <= kSlack[s] + 1e-9);
          CHECK(thresholds.true_positive_gap == Approx(*fairness.true_positive_gap.value).margin(1e-9));
          CHECK(thresholds.false_positive_gap == Approx(*fairness.false_positive_gap.value).margin(1e-9));
          CHECK(thresholds.error == Approx(1.0 - fairness.accuracy).margin(1e-9));
          if (s > 0) CHECK(thresholds.error <= found[n][s - 1].error + 1e-9);
          for (const auto& choices : thresholds.choice) {
            double sum = 0.0;
            for (const auto& choice : choices) {
              CHECK(choice.probability > 0.0);
              sum += choice.probability;
            }
            CHECK(sum == Approx(1.0).margin(1e-12));
          }
        }
    }
}

TEST_CASE("no point of a fine grid beats the randomised optimum, and some come close") {
  for (const int groups : {2, 3})
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const GroupedRows rows = grouped_rows(1, 60, groups, seed);
      const auto found = fit_randomised_thresholds(rows.view(), kSlack, 1).front();
      for (std::size_t s = 0; s < kSlack.size(); ++s) {
        const double grid = grid_error(rows, 0, kSlack[s], 100);
        CHECK(found[s].error <= grid + 1e-9);
        CHECK(found[s].error >= grid - 0.012);  // a step of the grid
      }
      CHECK(found.front().error > found.back().error + 0.01);  // fairness costs something here
    }
}

TEST_CASE("with slack 1 every group takes its most accurate thresholds") {
  const GroupedRows rows = grouped_rows(2, 90, 3, 5);
  const std::vector<double> slack{1.0};
  const auto found = fit_randomised_thresholds(rows.view(), slack, 1);
  for (std::size_t n = 0; n < 2; ++n) {
    double wrong = 0.0;
    for (int g = 0; g < 3; ++g) {
      int least = 90;
      for (const CountedRates& rates : all_rates(rows, n, g)) least = std::min(least, rates.wrong);
      wrong += least;
    }
    CHECK(found[n].front().error == Approx(wrong / 90.0).margin(1e-9));
  }
}

TEST_CASE("equalised odds of two tiny groups, worked out by hand") {
  // Group 0 is told apart without error: its hull is everything above the diagonal. Group 1 has margins 4, 3, 2, 1 with
  // labels 1, 0, 1, 0: corners (0, 0), (0, 1/2), (1/2, 1), (1, 1) above and (1/2, 1/2) on the diagonal. With two of
  // each label in both, accuracy is best where t - f is largest: 1/2 on the whole edge from (0, 1/2) to (1/2, 1).
  GroupedRows rows{.groups = 2};
  rows.label = {1, 1, 0, 0, 1, 0, 1, 0};
  rows.group = {0, 0, 0, 0, 1, 1, 1, 1};
  for (const float margin : {2.0f, 1.0f, -1.0f, -2.0f, 4.0f, 3.0f, 2.0f, 1.0f})
    rows.logits.insert(rows.logits.end(), {0.0f, margin});
  const std::vector<double> slack{0.0};
  const RandomisedThresholds found = fit_randomised_thresholds(rows.view(), slack, 1).front().front();
  CHECK(found.error == Approx(0.25));
  const ExpectedFairness fairness = expected(rows, found);
  CHECK(fairness.accuracy == Approx(0.75));
  CHECK(*fairness.equalised_odds_sum.value == Approx(0.0).margin(1e-12));
}

TEST_CASE("a group that is told apart the wrong way round can only be matched by guessing") {
  GroupedRows rows = grouped_rows(1, 200, 2, 3);
  for (std::size_t row = 0; row < 200; ++row)
    rows.logits[2 * row + 1] = rows.logits[2 * row] + (rows.label[row] == 1 ? 1.0f : -1.0f) *
                                                          (rows.group[row] == 1 ? -1.0f : 1.0f) *
                                                          (1.0f + static_cast<float>(row));
  const std::vector<double> slack{0.0};
  const RandomisedThresholds found = fit_randomised_thresholds(rows.view(), slack, 1).front().front();
  // On the diagonal: always the more frequent label.
  const auto positive = static_cast<double>(std::count(rows.label.begin(), rows.label.end(), 1)) / 200.0;
  CHECK(found.error == Approx(std::min(positive, 1.0 - positive)));
}

TEST_CASE("renaming the groups renames the choices") {
  const std::vector<std::int32_t> name{2, 0, 1};
  const GroupedRows rows = grouped_rows(2, 150, 3, 6), other = renamed(rows, name);
  const auto found = fit_randomised_thresholds(rows.view(), kSlack),
             again = fit_randomised_thresholds(other.view(), kSlack);
  for (std::size_t n = 0; n < 2; ++n)
    for (std::size_t s = 0; s < kSlack.size(); ++s) {
      CHECK(again[n][s].error == Approx(found[n][s].error).margin(1e-9));
      const auto before = probabilities(alone(rows, n), found[n][s]),
                 after = probabilities(alone(other, n), again[n][s]);
      for (std::size_t row = 0; row < 150; ++row) CHECK(after[row] == Approx(before[row]).margin(1e-7));
    }
}

TEST_CASE("a group without evidence is not randomised and is named") {
  GroupedRows rows = grouped_rows(1, 300, 3, 7);
  for (std::size_t row = 0; row < 300; ++row)
    if (rows.group[row] == 1) rows.label[row] = 0;
  const auto found = fit_randomised_thresholds(rows.view(), kSlack).front();
  for (const RandomisedThresholds& thresholds : found) {
    CHECK(thresholds.left_out == std::vector<int>{1});
    REQUIRE(thresholds.choice[1].size() == 1);
    CHECK(thresholds.choice[1][0].threshold == 0.0);
    CHECK(thresholds.choice[1][0].probability == 1.0);
    const ExpectedFairness fairness = expected(rows, thresholds);
    CHECK(thresholds.error == Approx(1.0 - fairness.accuracy).margin(1e-9));
    CHECK(fairness.true_positive_gap.left_out == std::vector<std::string>{"group 1"});
  }
  CHECK_THROWS_AS(fit_randomised_thresholds(rows.view(), kSlack, 90), Error);
}

TEST_CASE("choices found on some rows serve others") {
  const double infinity = std::numeric_limits<double>::infinity();
  const RandomisedThresholds thresholds{
      .choice = {{{.threshold = -infinity, .probability = 0.25}, {.threshold = 1.0, .probability = 0.75}},
                 {{.threshold = infinity, .probability = 0.5}, {.threshold = 0.0, .probability = 0.5}}}};
  const std::vector<float> logits{0, 2, 0, 1, 0, -5, 1, 1.5, 1, 1};
  const std::vector<std::int32_t> group{0, 0, 0, 1, 1};
  CHECK(selection_probabilities(logits, group, {&thresholds, 1}) == std::vector<double>{1.0, 0.25, 0.25, 0.5, 0.0});
  const std::vector<std::int32_t> unknown{0, 0, 2, 1, 1};
  CHECK_THROWS_AS(selection_probabilities(logits, unknown, {&thresholds, 1}), Error);
  CHECK_THROWS_AS(selection_probabilities(std::span(logits).first(8), group, {&thresholds, 1}), Error);
}

TEST_CASE("randomised thresholds do not depend on the others of the batch or on the number of threads") {
  const GroupedRows rows = grouped_rows(3, 200, 3, 10);
  const ThreadCount one(1);
  const auto together = fit_randomised_thresholds(rows.view(), kSlack, 1);
  const ThreadCount several(3);
  const auto again = fit_randomised_thresholds(rows.view(), kSlack, 1);
  for (std::size_t n = 0; n < 3; ++n) {
    const auto single = fit_randomised_thresholds(alone(rows, n).view(), kSlack, 1).front();
    for (std::size_t s = 0; s < kSlack.size(); ++s) {
      const auto expected_bits = probabilities(alone(rows, n), together[n][s]);
      CHECK(probabilities(alone(rows, n), again[n][s]) == expected_bits);
      CHECK(probabilities(alone(rows, n), single[s]) == expected_bits);
    }
  }
}

TEST_CASE("fitting randomised thresholds says what does not fit") {
  const GroupedRows rows = grouped_rows(1, 100, 2, 1);
  CHECK_THROWS_AS(fit_randomised_thresholds(rows.view(), std::vector<double>{-0.1}), Error);
  CHECK_THROWS_AS(fit_randomised_thresholds(rows.view(), std::vector<double>{1.1}), Error);
  GroupedRows broken = rows;
  broken.label[0] = 3;
  CHECK_THROWS_AS(fit_randomised_thresholds(broken.view(), kSlack), Error);
}
