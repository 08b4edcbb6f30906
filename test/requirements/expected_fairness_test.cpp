#include "requirements/metric/expected_fairness.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "engine/error.hpp"
#include "requirements/metric/utility.hpp"
#include "test/requirements/grouped_rows.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;

TEST_CASE("expected fairness of certain predictions is that of the predictions") {
  for (const int minimum : {1, 20}) {
    const GroupedRows rows = grouped_rows(2, 110, 3, 1);
    const auto predicted = predicted_classes(rows.logits, 2);
    const std::vector<double> probability(predicted.begin(), predicted.end());
    const auto fairness = expected_fairness(probability, rows.label, rows.group, rows.names(), minimum);
    REQUIRE(fairness.size() == 2);
    for (std::size_t n = 0; n < 2; ++n) {
      const auto own = std::span(predicted).subspan(n * 110, 110);
      const auto metrics = fairness_metrics(own, rows.label, rows.group, rows.names(), 2, minimum);
      CHECK(fairness[n].accuracy == Approx(accuracy(own, rows.label)));
      CHECK(fairness[n].true_positive_gap.value.has_value() == metrics.equal_opportunity_difference.value.has_value());
      CHECK(fairness[n].true_positive_gap.left_out == metrics.equal_opportunity_difference.left_out);
      CHECK(fairness[n].equalised_odds_sum.value.has_value() == metrics.equalised_odds_sum.value.has_value());
      CHECK(fairness[n].equalised_odds_sum.left_out == metrics.equalised_odds_sum.left_out);
      if (minimum > 1) continue;
      CHECK(*fairness[n].true_positive_gap.value == Approx(*metrics.equal_opportunity_difference.value));
      CHECK(*fairness[n].equalised_odds_sum.value == Approx(*metrics.equalised_odds_sum.value));
    }
  }
}

TEST_CASE("expected rates are means of probabilities") {
  const std::vector<std::int32_t> label{1, 1, 0, 0, 1, 0}, group{0, 0, 0, 0, 1, 1};
  const std::vector<double> probability{0.5, 1.0, 0.25, 0.0, 0.25, 0.5};
  const std::vector<std::string> names{"a", "b"};
  const ExpectedFairness fairness = expected_fairness(probability, label, group, names, 1).front();
  CHECK(fairness.accuracy == Approx((0.5 + 1.0 + 0.75 + 1.0 + 0.25 + 0.5) / 6));
  CHECK(*fairness.true_positive_gap.value == Approx(0.75 - 0.25));
  CHECK(*fairness.false_positive_gap.value == Approx(0.5 - 0.125));
  CHECK(*fairness.equalised_odds_sum.value == Approx(0.5 + 0.375));
}

TEST_CASE("expected gaps without enough rows have no value, and say why") {
  const std::vector<std::int32_t> group{0, 0, 0, 0, 1, 1};
  const std::vector<double> probability(6, 0.5);
  const std::vector<std::string> names{"a", "b"};
  for (const std::int32_t only : {0, 1}) {  // the label that all of group b have
    const std::vector<std::int32_t> label{1, 1, 0, 0, only, only};
    for (const int minimum : {0, 1}) {
      const ExpectedFairness fairness = expected_fairness(probability, label, group, names, minimum).front();
      const Estimate &missing = only == 0 ? fairness.true_positive_gap : fairness.false_positive_gap,
                     &there = only == 0 ? fairness.false_positive_gap : fairness.true_positive_gap;
      CHECK_FALSE(missing.value.has_value());
      CHECK(missing.left_out == std::vector<std::string>{"b"});
      CHECK(missing.note.find("insufficient evidence") != std::string::npos);
      CHECK(there.value.has_value());
      CHECK_FALSE(fairness.equalised_odds_sum.value.has_value());
      CHECK(fairness.equalised_odds_sum.left_out == std::vector<std::string>{"b"});
    }
  }
}

TEST_CASE("expected fairness does not depend on the number of threads, and says what does not fit") {
  const GroupedRows rows = grouped_rows(5, 100, 2, 1);
  std::vector<double> probability;
  for (std::size_t i = 0; i < 500; ++i) probability.push_back(static_cast<double>(i % 97) / 97.0);
  const auto run = [&](int threads) {
    const ThreadCount count(threads);
    std::vector<double> result;
    for (const auto& fairness : expected_fairness(probability, rows.label, rows.group, rows.names(), 1))
      result.insert(result.end(), {fairness.accuracy, *fairness.equalised_odds_sum.value});
    return result;
  };
  CHECK(run(1).size() == 10);
  CHECK(run(1) == run(3));
  const std::vector<std::string> one{"a"};
  CHECK_THROWS_AS(expected_fairness(probability, rows.label, rows.group, one), Error);
  CHECK_THROWS_AS(expected_fairness(std::span(probability).first(150), rows.label, rows.group, rows.names()), Error);
  probability[7] = 1.5;
  CHECK_THROWS_AS(expected_fairness(probability, rows.label, rows.group, rows.names()), Error);
  probability[7] = std::nan("");
  CHECK_THROWS_AS(expected_fairness(probability, rows.label, rows.group, rows.names()), Error);
  CHECK_THROWS_AS(expected_fairness({}, {}, {}, rows.names()), Error);
}
