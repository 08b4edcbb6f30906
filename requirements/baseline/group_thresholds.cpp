#include "requirements/baseline/group_thresholds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/error.hpp"
#include "engine/parallel.hpp"

namespace amend {
namespace {

constexpr double kUnreached = std::numeric_limits<double>::infinity();
constexpr double kTie = 1e-12;  // objectives are sums of a few shares: closer than this is rounding
constexpr int kLevels = 20;     // common rates to start from

/// A threshold of one group and what it brings.
struct Candidate {
  double threshold, true_positive_rate, false_positive_rate, error;
};

using Candidates = std::vector<std::vector<Candidate>>;  // (groups with evidence)
using Pick = std::vector<std::size_t>;                   // (groups with evidence): which candidate

/// What a choice of thresholds costs: first the objective, then how far they are from the network's own.
struct Cost {
  double objective = kUnreached, distance = kUnreached;

  bool operator<(const Cost& other) const {
    if (std::abs(objective - other.objective) > kTie) return objective < other.objective;
    return distance < other.distance - kTie;
  }
};

/// Errors and ranges of the rates of some groups, to which groups can be added.
struct Sums {
  double error = 0.0, distance = 0.0;
  double lowest_tpr = kUnreached, highest_tpr = -kUnreached, lowest_fpr = kUnreached, highest_fpr = -kUnreached;

  Sums with(const Candidate& c) const {
    return {.error = error + c.error,
            .distance = distance + std::abs(c.threshold),
            .lowest_tpr = std::min(lowest_tpr, c.true_positive_rate),
            .highest_tpr = std::max(highest_tpr, c.true_positive_rate),
            .lowest_fpr = std::min(lowest_fpr, c.false_positive_rate),
            .highest_fpr = std::max(highest_fpr, c.false_positive_rate)};
  }
  double gaps() const { return highest_tpr - lowest_tpr + highest_fpr - lowest_fpr; }
  Cost cost(double mu) const { return {.objective = error + mu * gaps(), .distance = distance}; }
};

Sums sums_of(const Candidates& candidates, const Pick& pick, std::size_t without) {
  Sums sums;
  for (std::size_t g = 0; g < pick.size(); ++g)
    if (g != without) sums = sums.with(candidates[g][pick[g]]);
  return sums;
}

Sums sums_of(const Candidates& candidates, const Pick& pick) { return sums_of(candidates, pick, pick.size()); }

/// The best pair for each mu, by trying all.
std::vector<Pick> best_pairs(const Candidates& candidates, std::span<const double> mu) {
  std::vector<Pick> best(mu.size(), Pick{0, 0});
  std::vector<Cost> least(mu.size());
  for (std::size_t i = 0; i < candidates[0].size(); ++i) {
    const Sums first = Sums().with(candidates[0][i]);
    for (std::size_t j = 0; j < candidates[1].size(); ++j) {
      const Sums both = first.with(candidates[1][j]);
      for (std::size_t m = 0; m < mu.size(); ++m)
        if (const Cost cost = both.cost(mu[m]); cost < least[m]) {
          least[m] = cost;
          best[m] = {i, j};
        }
    }
  }
  return best;
}

/// Changes one group's threshold at a time as long as that helps.
Cost descend(const Candidates& candidates, double mu, Pick& pick) {
  Cost least = sums_of(candidates, pick).cost(mu);
  for (bool better = true; better;) {
    better = false;
    for (std::size_t g = 0; g < pick.size(); ++g) {
      const Sums others = sums_of(candidates, pick, g);
      for (std::size_t i = 0; i < candidates[g].size(); ++i)
        if (const Cost cost = others.with(candidates[g][i]).cost(mu); cost < least) {
          least = cost;
          pick[g] = i;
          better = true;
        }
    }
  }
  return least;
}

/// In each group the candidate of least `distance`, the first of equals.
template <class Distance>
Pick nearest(const Candidates& candidates, const Distance& distance) {
  Pick pick;
  for (const std::vector<Candidate>& group : candidates)
    pick.push_back(static_cast<std::size_t>(
        std::min_element(group.begin(), group.end(),
                         [&](const Candidate& a, const Candidate& b) { return distance(a) < distance(b); }) -
        group.begin()));
  return pick;
}

std::vector<Pick> starts(const Candidates& candidates) {
  std::vector<Pick> picks{nearest(candidates, [](const Candidate& c) { return std::abs(c.threshold); }),
                          nearest(candidates, [](const Candidate& c) { return c.error; })};
  for (int level = 0; level <= kLevels; ++level) {
    const double rate = static_cast<double>(level) / kLevels;
    picks.push_back(nearest(candidates, [&](const Candidate& c) { return std::abs(c.true_positive_rate - rate); }));
    picks.push_back(nearest(candidates, [&](const Candidate& c) { return std::abs(c.false_positive_rate - rate); }));
  }
  return picks;
}

std::vector<Pick> best_picks(const Candidates& candidates, std::span<const double> mu) {
  if (candidates.size() == 2) return best_pairs(candidates, mu);
  std::vector<Pick> first = starts(candidates), best;
  for (const double weight : mu) {
    Cost least;
    Pick winner;
    for (const Pick& start : first) {
      Pick pick = start;
      if (const Cost cost = descend(candidates, weight, pick); cost < least) {
        least = cost;
        winner = pick;
      }
    }
    best.push_back(winner);
    first.push_back(winner);
  }
  return best;
}

std::vector<GroupThresholds> fit(const GroupedLogits& rows, std::size_t network, std::span<const double> mu,
                                 const ThresholdSearch& search, const std::vector<int>& left_out) {
  const std::vector<GroupRoc> rocs = group_rocs(rows, network);
  Candidates candidates;
  std::vector<std::size_t> groups;
  double other_errors = 0.0;  // of the groups that keep their decisions
  for (std::size_t g = 0; g < rocs.size(); ++g) {
    if (std::find(left_out.begin(), left_out.end(), static_cast<int>(g)) != left_out.end()) {
      other_errors += rocs[g].own_error(rows.rows());
      continue;
    }
    groups.push_back(g);
    std::vector<Candidate>& group = candidates.emplace_back();
    for (const RocCut& cut : quantile_cuts(rocs[g], search.candidates))
      group.push_back({.threshold = cut.mild_threshold(),
                       .true_positive_rate = rocs[g].true_positive_rate(cut),
                       .false_positive_rate = rocs[g].false_positive_rate(cut),
                       .error = rocs[g].error(cut, rows.rows())});
  }
  std::vector<GroupThresholds> result;
  for (const Pick& pick : best_picks(candidates, mu)) {
    const Sums sums = sums_of(candidates, pick);
    GroupThresholds& found = result.emplace_back();
    found.threshold.assign(rocs.size(), 0.0);
    for (std::size_t g = 0; g < groups.size(); ++g) found.threshold[groups[g]] = candidates[g][pick[g]].threshold;
    found.error = sums.error + other_errors;
    found.true_positive_gap = sums.highest_tpr - sums.lowest_tpr;
    found.false_positive_gap = sums.highest_fpr - sums.lowest_fpr;
    found.left_out = left_out;
  }
  return result;
}

}  // namespace

std::vector<std::vector<GroupThresholds>> fit_group_thresholds(const GroupedLogits& rows, std::span<const double> mu,
                                                               const ThresholdSearch& search) {
  constexpr const char* kName = "fit_group_thresholds";
  rows.validate(kName);
  check(search.candidates >= 2, kName, "expected two candidates or more, got ", search.candidates);
  for (const double weight : mu)
    check(std::isfinite(weight) && weight >= 0.0, kName, "expected mu of 0 or more, got ", weight);
  const std::vector<int> left_out = groups_without_evidence(rows, search.minimum_rows, kName);
  std::vector<std::vector<GroupThresholds>> result(rows.networks());
  parallel_for(static_cast<std::int64_t>(result.size()), [&](std::int64_t network) {
    const auto n = static_cast<std::size_t>(network);
    result[n] = fit(rows, n, mu, search, left_out);
  });
  return result;
}

std::vector<float> shifted_logits(std::span<const float> logits, std::span<const std::int32_t> group,
                                  std::span<const GroupThresholds> thresholds) {
  const std::size_t rows = group.size();
  check(logits.size() == thresholds.size() * rows * 2, "shifted_logits", "got ", logits.size(),
        " logits of two classes for ", thresholds.size(), " networks and ", rows, " rows");
  std::vector<float> shifted(logits.begin(), logits.end());
  parallel_for(static_cast<std::int64_t>(thresholds.size()), [&](std::int64_t network) {
    const auto n = static_cast<std::size_t>(network);
    const std::vector<double>& threshold = thresholds[n].threshold;
    for (std::size_t row = 0; row < rows; ++row) {
      check(group[row] >= 0 && static_cast<std::size_t>(group[row]) < threshold.size(), "shifted_logits", "row ", row,
            " has group ", group[row], " of ", threshold.size());
      float& positive = shifted[2 * (n * rows + row) + 1];
      positive = static_cast<float>(positive - threshold[static_cast<std::size_t>(group[row])]);
    }
  });
  return shifted;
}

std::vector<double> selection_probabilities(std::span<const float> logits, std::span<const std::int32_t> group,
                                            std::span<const GroupThresholds> thresholds) {
  const std::vector<float> shifted = shifted_logits(logits, group, thresholds);
  std::vector<double> probability(shifted.size() / 2);
  for (std::size_t i = 0; i < probability.size(); ++i) probability[i] = shifted[2 * i + 1] > shifted[2 * i] ? 1.0 : 0.0;
  return probability;
}

}  // namespace amend
