#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "requirements/baseline/group_roc.hpp"
#include "requirements/metric/fairness.hpp"

namespace amend {

/// Thresholds on the margin z_1 - z_0 of one network, one for each group: Hardt, Price, Srebro, *Equality of
/// Opportunity in Supervised Learning*, NIPS 2016 (arXiv 1610.02413). They need the group of every person when
/// deployed.
struct GroupThresholds {
  std::vector<double> threshold;                             // (groups): predicted 1 where the margin is larger
  double error = 0.0;                                        // share of the fitting rows that are wrong
  double true_positive_gap = 0.0, false_positive_gap = 0.0;  // on the fitting rows, without the groups left out
  std::vector<int> left_out;  // groups without enough rows of a label: they keep the network's decision, threshold 0
};

struct ThresholdSearch {
  int candidates = 256;                      // thresholds tried in each group, at quantiles of its margins
  std::int64_t minimum_rows = kMinimumRows;  // of each label: below, a group's rates are insufficient evidence
};

/// For every network and `mu`, (networks, mu): the thresholds of least
///     error + mu (gap of the true-positive rate + gap of the false-positive rate),
/// a gap being the largest minus the smallest rate over the groups; of equals those nearest to 0. For two groups all
/// pairs of candidates are tried: the least there is. For more, coordinate descent from about fifty starts (the
/// network's own decisions, the most accurate ones, common rates in steps of 5%, the thresholds found for the mu
/// before): good, but without guarantee. Throws Error for a negative mu, fewer than two candidates, or fewer than two
/// groups with enough rows of both labels.
std::vector<std::vector<GroupThresholds>> fit_group_thresholds(const GroupedLogits& rows, std::span<const double> mu,
                                                               const ThresholdSearch& search = {});

/// Logits (networks, rows, 2) with each row's z_1 lowered by the threshold of its group, so that the larger logit is
/// the prediction and divergences from the original can be measured. group (rows).
std::vector<float> shifted_logits(std::span<const float> logits, std::span<const std::int32_t> group,
                                  std::span<const GroupThresholds> thresholds);

/// Probability that 1 is predicted, (networks, rows): 0 or 1, as the shifted logits say.
std::vector<double> selection_probabilities(std::span<const float> logits, std::span<const std::int32_t> group,
                                            std::span<const GroupThresholds> thresholds);

}  // namespace amend
