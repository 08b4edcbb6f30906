#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "requirements/metric/fairness.hpp"

namespace amend {

/// What predictions that are drawn at random amount to. A gap is that of the expected rates, largest minus smallest
/// over the groups with enough rows, as in `FairnessMetrics`; without intervals.
struct ExpectedFairness {
  double accuracy = 0.0;
  Estimate true_positive_gap;  // equal opportunity difference
  Estimate false_positive_gap;
  Estimate equalised_odds_sum;  // of both gaps
};

/// probability (networks, rows) that 1 is predicted; label (rows), 0 or 1; group (rows), 0 .. group_names - 1; returns
/// (networks). With probabilities of 0 and 1 the values are those of `fairness_metrics`. Throws Error when sizes
/// disagree, there are no rows, or a number is out of range.
std::vector<ExpectedFairness> expected_fairness(std::span<const double> probability,
                                                std::span<const std::int32_t> label,
                                                std::span<const std::int32_t> group,
                                                std::span<const std::string> group_names,
                                                std::int64_t minimum_rows = kMinimumRows);

}  // namespace amend
