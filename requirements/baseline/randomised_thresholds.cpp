// With the corners v of a group's hull (f_gv, t_gv) and their probabilities q_gv >= 0:
//   maximise   sum_gv q_gv (true positives_gv - false positives_gv) / rows
//   such that  sum_v q_gv <= 1,  F <= sum_v q_gv f_gv <= F + slack,  T <= sum_v q_gv t_gv <= T + slack.
// The corner `nobody` is (0, 0) and adds nothing anywhere: it has no variable and takes what is left of the
// probability. So all zeros is allowed, and the simplex starts there.
#include "requirements/baseline/randomised_thresholds.hpp"

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "requirements/baseline/linear_program.hpp"

namespace amend {
namespace {

constexpr const char* kName = "fit_randomised_thresholds";
constexpr double kNegligible = 1e-11;  // probabilities below are rounding of the simplex

/// A group whose thresholds are to be found.
struct Hull {
  std::size_t group;
  const GroupRoc* roc;
  std::vector<RocCut> corner;  // nobody first
};

LinearProgram program_of(const std::vector<Hull>& hulls, double slack, std::size_t rows) {
  LinearProgram program;
  std::size_t variables = 2;  // F and T, after the probabilities
  for (const Hull& hull : hulls) variables += hull.corner.size() - 1;
  const std::size_t lowest_fpr = variables - 2, lowest_tpr = variables - 1;
  program.value.assign(variables, 0.0);
  const auto add_constraint = [&](double limit) {
    program.limit.push_back(limit);
    program.constraint.resize(program.limit.size() * variables, 0.0);
    return program.constraint.data() + (program.limit.size() - 1) * variables;
  };
  std::size_t first = 0;
  for (const Hull& hull : hulls) {
    const std::size_t count = hull.corner.size() - 1;
    double* total = add_constraint(1.0);
    std::fill_n(total + first, count, 1.0);
    const auto bound = [&](std::size_t lowest, auto rate) {
      double* above = add_constraint(0.0);
      above[lowest] = 1.0;
      for (std::size_t v = 0; v < count; ++v) above[first + v] = -rate(hull.corner[v + 1]);
      double* below = add_constraint(slack);
      below[lowest] = -1.0;
      for (std::size_t v = 0; v < count; ++v) below[first + v] = rate(hull.corner[v + 1]);
    };
    bound(lowest_fpr, [&](const RocCut& cut) { return hull.roc->false_positive_rate(cut); });
    bound(lowest_tpr, [&](const RocCut& cut) { return hull.roc->true_positive_rate(cut); });
    for (std::size_t v = 0; v < count; ++v)
      program.value[first + v] =
          static_cast<double>(hull.corner[v + 1].true_positives - hull.corner[v + 1].false_positives) /
          static_cast<double>(rows);
    first += count;
  }
  return program;
}

/// Extremes of a rate over the groups.
struct RateRange {
  double low = 1.0, high = 0.0;
  void add(double rate) {
    low = std::min(low, rate);
    high = std::max(high, rate);
  }
};

RandomisedThresholds solve(const std::vector<Hull>& hulls, double slack, std::size_t rows) {
  const std::vector<double> probability = maximise(program_of(hulls, slack, rows));
  RandomisedThresholds result;
  RateRange tpr, fpr;
  std::size_t first = 0;
  for (const Hull& hull : hulls) {
    std::vector<double> weight(hull.corner.size(), 0.0);
    double sum = 0.0;
    for (std::size_t v = 1; v < weight.size(); ++v) {
      const double found = probability[first + v - 1];
      weight[v] = found > kNegligible ? found : 0.0;
      sum += weight[v];
    }
    if (1.0 - sum > kNegligible) weight[0] = 1.0 - sum;
    sum += weight[0];
    std::vector<RandomisedThresholds::Choice>& choice = result.choice.emplace_back();
    double group_tpr = 0.0, group_fpr = 0.0;
    for (std::size_t v = 0; v < weight.size(); ++v) {
      if (weight[v] == 0.0) continue;
      const RocCut& cut = hull.corner[v];
      const double share = weight[v] / sum;
      choice.push_back({.threshold = cut.threshold(), .probability = share});
      group_tpr += share * hull.roc->true_positive_rate(cut);
      group_fpr += share * hull.roc->false_positive_rate(cut);
      result.error += share * hull.roc->error(cut, rows);
    }
    tpr.add(group_tpr);
    fpr.add(group_fpr);
    first += hull.corner.size() - 1;
  }
  result.true_positive_gap = tpr.high - tpr.low;
  result.false_positive_gap = fpr.high - fpr.low;
  return result;
}

std::vector<RandomisedThresholds> fit(const GroupedLogits& rows, std::size_t network, std::span<const double> slacks,
                                      const std::vector<int>& left_out) {
  const std::vector<GroupRoc> rocs = group_rocs(rows, network);
  std::vector<Hull> hulls;
  double other_errors = 0.0;  // of the groups that keep their decisions
  for (std::size_t g = 0; g < rocs.size(); ++g) {
    if (std::find(left_out.begin(), left_out.end(), static_cast<int>(g)) == left_out.end())
      hulls.push_back({.group = g, .roc = &rocs[g], .corner = hull_cuts(rocs[g])});
    else
      other_errors += rocs[g].own_error(rows.rows());
  }
  std::vector<RandomisedThresholds> result;
  for (const double slack : slacks) {
    RandomisedThresholds found = solve(hulls, slack, rows.rows());
    std::vector<std::vector<RandomisedThresholds::Choice>> choice(rocs.size(),
                                                                  {{.threshold = 0.0, .probability = 1.0}});
    for (std::size_t h = 0; h < hulls.size(); ++h) choice[hulls[h].group] = std::move(found.choice[h]);
    found.choice = std::move(choice);
    found.error += other_errors;
    found.left_out = left_out;
    result.push_back(std::move(found));
  }
  return result;
}

}  // namespace

std::vector<std::vector<RandomisedThresholds>> fit_randomised_thresholds(const GroupedLogits& rows,
                                                                         std::span<const double> slack,
                                                                         std::int64_t minimum_rows) {
  rows.validate(kName);
  for (const double value : slack)
    check(value >= 0.0 && value <= 1.0, kName, "expected a slack from 0 to 1, got ", value);
  const std::vector<int> left_out = groups_without_evidence(rows, minimum_rows, kName);
  std::vector<std::vector<RandomisedThresholds>> result(rows.networks());
  parallel_for(static_cast<std::int64_t>(result.size()), [&](std::int64_t network) {
    const auto n = static_cast<std::size_t>(network);
    result[n] = fit(rows, n, slack, left_out);
  });
  return result;
}

std::vector<double> selection_probabilities(std::span<const float> logits, std::span<const std::int32_t> group,
                                            std::span<const RandomisedThresholds> thresholds) {
  const std::size_t rows = group.size();
  check(logits.size() == thresholds.size() * rows * 2, "selection_probabilities", "got ", logits.size(),
        " logits of two classes for ", thresholds.size(), " networks and ", rows, " rows");
  std::vector<double> probability(thresholds.size() * rows, 0.0);
  parallel_for(static_cast<std::int64_t>(thresholds.size()), [&](std::int64_t network) {
    const auto n = static_cast<std::size_t>(network);
    const auto& choices = thresholds[n].choice;
    for (std::size_t row = 0; row < rows; ++row) {
      check(group[row] >= 0 && static_cast<std::size_t>(group[row]) < choices.size(), "selection_probabilities", "row ",
            row, " has group ", group[row], " of ", choices.size());
      const float* z = logits.data() + 2 * (n * rows + row);
      const double margin = static_cast<double>(z[1]) - z[0];
      for (const RandomisedThresholds::Choice& choice : choices[static_cast<std::size_t>(group[row])])
        if (margin > choice.threshold) probability[n * rows + row] += choice.probability;
    }
  });
  return probability;
}

}  // namespace amend
