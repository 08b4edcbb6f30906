#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "requirements/metric/interval.hpp"

namespace amend {

/// A measured number, or the reason why there is none ('insufficient evidence'). A value over groups is partial when
/// some of them are left out; the note then says why.
struct Estimate {
  std::optional<double> value;
  std::optional<Interval> interval;
  std::string note;
  std::vector<std::string> left_out;  // groups without a rate, which the value says nothing of

  bool partial() const { return !left_out.empty(); }
};

/// Rows of one group by what they are and what was predicted. The positive class is 1.
struct GroupCounts {
  std::int64_t rows = 0;
  std::int64_t positives = 0;  // label 1
  std::int64_t correct = 0;
  std::int64_t selected = 0;  // predicted 1
  std::int64_t true_positives = 0;
  std::int64_t false_positives = 0;
};

/// Rates of one group with Wilson intervals.
struct GroupRates {
  std::string name;
  GroupCounts count;
  Estimate accuracy, selection_rate, true_positive_rate, false_positive_rate;
};

/// Fairlearn's definitions over any number of groups. A gap of a rate is its largest minus its smallest value over the
/// groups; groups without a rate are left out, which makes the gap partial, and with fewer than two groups left there
/// is no value. Intervals: Newcombe's for the two groups that make the gap, cut at 0; they do not account for having
/// picked the extreme groups. For the sum the two gaps are combined by `sum_interval`.
struct FairnessMetrics {
  std::vector<GroupRates> groups;
  Estimate demographic_parity_difference;  // gap of the selection rate
  Estimate equal_opportunity_difference;   // gap of the true-positive rate
  Estimate equalised_odds_difference;      // the larger of the gaps of true- and false-positive rate
  Estimate equalised_odds_sum;             // the sum of both gaps
  Estimate equalised_odds_mean;            // their mean: Fairlearn's agg="mean"
  Estimate equalised_odds_pairwise;        // as equalised_odds_difference, each gap the mean |difference| of all pairs
};

/// Rows below which a rate counts as insufficient evidence: of the group for accuracy and selection rate, of the group
/// and label for true- and false-positive rate.
inline constexpr std::int64_t kMinimumRows = 20;

/// predicted, label, group: (rows), groups numbered 0 .. group_names - 1. With more than two classes only accuracy is
/// defined. Throws Error when sizes disagree or an id is out of range.
FairnessMetrics fairness_metrics(std::span<const std::int32_t> predicted, std::span<const std::int32_t> label,
                                 std::span<const std::int32_t> group, std::span<const std::string> group_names,
                                 int classes = 2, std::int64_t minimum_rows = kMinimumRows);

}  // namespace amend
