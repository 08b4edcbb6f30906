#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "requirements/baseline/group_roc.hpp"
#include "requirements/metric/fairness.hpp"

namespace amend {

/// For every person a threshold on the margin z_1 - z_0 is drawn, by the person's group, and 1 predicted where the
/// margin is larger: the derived predictor of Hardt, Price, Srebro, *Equality of Opportunity in Supervised Learning*,
/// NIPS 2016 (arXiv 1610.02413). Needs the group of every person when deployed; equal people of a group may be answered
/// differently.
struct RandomisedThresholds {
  struct Choice {
    double threshold;    // may be infinite: nobody, everybody
    double probability;  // positive
  };
  std::vector<std::vector<Choice>> choice;                   // (groups): probabilities add up to 1
  double error = 0.0;                                        // expected share of the fitting rows that are wrong
  double true_positive_gap = 0.0, false_positive_gap = 0.0;  // expected, without the groups left out
  std::vector<int> left_out;  // groups without enough rows of a label: they keep the network's decision, threshold 0
};

/// For every network and `slack`, (networks, slacks): the randomised thresholds of least expected error on the rows
/// whose expected true- and false-positive rates each differ between groups by `slack` at most; 0 is equalised odds
/// exactly. Each group's rates may lie anywhere in the convex hull of its ROC curve, so this is a linear program over
/// the hulls' corners, and its optimum is exact for any number of groups. Throws Error for a slack outside 0 .. 1 or
/// when fewer than two groups have `minimum_rows` rows of both labels.
std::vector<std::vector<RandomisedThresholds>> fit_randomised_thresholds(const GroupedLogits& rows,
                                                                         std::span<const double> slack,
                                                                         std::int64_t minimum_rows = kMinimumRows);

/// Probability that 1 is predicted, (networks, rows), for logits (networks, rows, 2) and group (rows).
std::vector<double> selection_probabilities(std::span<const float> logits, std::span<const std::int32_t> group,
                                            std::span<const RandomisedThresholds> thresholds);

}  // namespace amend
