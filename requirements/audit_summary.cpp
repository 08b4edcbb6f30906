#include "requirements/audit_summary.hpp"

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"

namespace amend {
namespace {

constexpr double kOnePoint = 0.01;

MetricSummary summary_of(const std::vector<NetworkAudit>& networks, const NetworkMetric& metric, std::uint64_t seed) {
  MetricSummary summary;
  summary.metric = metric.name;
  std::vector<double> values;
  double original_sum = 0.0;
  std::int64_t originals = 0;
  for (const NetworkAudit& network : networks) {
    const std::optional<double> value = metric.edited(network);
    if (!value) continue;
    const bool worse = metric.worst == Worst::lowest ? *value < summary.worst : *value > summary.worst;
    if (values.empty() || worse) {
      summary.worst = *value;
      summary.worst_network = network.name;
    }
    values.push_back(*value);
    if (const auto before = metric.original ? metric.original(network) : std::nullopt) {
      original_sum += *before;
      ++originals;
    }
  }
  summary.networks = static_cast<std::int64_t>(values.size());
  if (originals > 0) summary.original_mean = original_sum / static_cast<double>(originals);
  if (values.empty()) return summary;
  for (double value : values) summary.mean += value / static_cast<double>(values.size());
  if (values.size() > 1) summary.interval = bootstrap_intervals(values, 1, seed).front();
  std::sort(values.begin(), values.end());
  summary.median = 0.5 * (values[(values.size() - 1) / 2] + values[values.size() / 2]);
  return summary;
}

/// Mean of one rate of one group over the networks.
Estimate mean_rate(const std::vector<NetworkAudit>& networks, std::size_t grouping, std::size_t group,
                   FairnessMetrics FairnessChange::*when, Estimate GroupRates::*rate, std::int64_t trials) {
  Estimate result;
  double sum = 0.0;
  std::int64_t count = 0;
  for (const NetworkAudit& network : networks) {
    const Estimate& estimate = (network.fairness[grouping].*when).groups[group].*rate;
    if (estimate.value) {
      sum += *estimate.value;
      ++count;
    } else {
      result.note = estimate.note;
    }
  }
  if (count == 0) return result;
  result.value = std::clamp(sum / static_cast<double>(count), 0.0, 1.0);
  result.interval = wilson_interval(*result.value * static_cast<double>(trials), trials);
  return result;
}

GroupSummary group_summary(const std::vector<NetworkAudit>& networks, std::size_t grouping, std::size_t group) {
  const GroupRates& first = networks.front().fairness[grouping].original.groups[group];
  GroupSummary summary;
  summary.name = first.name;
  summary.rows = first.count.rows;
  summary.positives = first.count.positives;
  const auto fill = [&](Estimate& before, Estimate& after, Estimate GroupRates::*rate, std::int64_t trials) {
    before = mean_rate(networks, grouping, group, &FairnessChange::original, rate, trials);
    after = mean_rate(networks, grouping, group, &FairnessChange::edited, rate, trials);
  };
  fill(summary.original_accuracy, summary.accuracy, &GroupRates::accuracy, summary.rows);
  fill(summary.original_selection_rate, summary.selection_rate, &GroupRates::selection_rate, summary.rows);
  fill(summary.original_true_positive_rate, summary.true_positive_rate, &GroupRates::true_positive_rate,
       summary.positives);
  fill(summary.original_false_positive_rate, summary.false_positive_rate, &GroupRates::false_positive_rate,
       summary.rows - summary.positives);
  return summary;
}

}  // namespace

const std::vector<NetworkMetric>& network_metric_list() {
  using A = NetworkAudit;
  const auto count = [](std::int64_t value) { return std::optional<double>(static_cast<double>(value)); };
  static const std::vector<NetworkMetric> metrics{
      {"accuracy", Worst::lowest, [](const A& a) { return a.accuracy; },
       [](const A& a) { return a.original_accuracy; }},
      {"accuracy_drop", Worst::highest, [](const A& a) { return a.accuracy_drop; }, {}},
      {"divergence", Worst::highest, [](const A& a) { return a.divergence; }, {}},
      {"features", Worst::highest, [count](const A& a) { return count(a.features); },
       [count](const A& a) { return count(a.original_features); }},
      {"nonzero_share", Worst::highest, [](const A& a) { return a.sparsity.nonzero_share; },
       [](const A& a) { return a.original_sparsity.nonzero_share; }},
      {"nonzero_weights", Worst::highest, [count](const A& a) { return count(a.sparsity.nonzero_weights); },
       [count](const A& a) { return count(a.original_sparsity.nonzero_weights); }},
      {"live_neurons", Worst::highest, [count](const A& a) { return count(a.sparsity.live_neurons); },
       [count](const A& a) { return count(a.original_sparsity.live_neurons); }},
      {"sparse_bytes", Worst::highest, [count](const A& a) { return count(a.sparsity.sparse_bytes); },
       [count](const A& a) { return count(a.original_sparsity.dense_bytes); }},
      {"sparse_flops", Worst::highest, [count](const A& a) { return count(a.sparsity.sparse_flops); },
       [count](const A& a) { return count(a.original_sparsity.dense_flops); }},
  };
  return metrics;
}

const std::vector<FairnessMetric>& fairness_metric_list() {
  static const std::vector<FairnessMetric> list{
      {"equalised_odds_difference", &FairnessMetrics::equalised_odds_difference},
      {"equalised_odds_sum", &FairnessMetrics::equalised_odds_sum},
      {"equalised_odds_mean", &FairnessMetrics::equalised_odds_mean},
      {"equalised_odds_pairwise", &FairnessMetrics::equalised_odds_pairwise},
      {"demographic_parity_difference", &FairnessMetrics::demographic_parity_difference},
      {"equal_opportunity_difference", &FairnessMetrics::equal_opportunity_difference},
  };
  return list;
}

void summarise(AuditReport& report, std::uint64_t seed) {
  for (const NetworkMetric& metric : network_metric_list())
    report.metrics.push_back(summary_of(report.networks, metric, seed));
  for (const NetworkAudit& network : report.networks)
    report.losing_over_a_point += network.accuracy_drop > kOnePoint + kRoundOff;
  report.losing_share_interval = wilson_interval(static_cast<double>(report.losing_over_a_point),
                                                 static_cast<std::int64_t>(report.networks.size()));
  for (std::size_t g = 0; g < report.groupings.size(); ++g) {
    Grouping& grouping = report.groupings[g];
    for (const FairnessMetric& metric : fairness_metric_list()) {
      grouping.metrics.push_back(summary_of(
          report.networks,
          {metric.name, Worst::highest, [&](const auto& a) { return (a.fairness[g].edited.*metric.value).value; },
           [&](const auto& a) { return (a.fairness[g].original.*metric.value).value; }},
          seed));
      // What is left out depends on the rows alone, so every network says the same.
      const Estimate& first = report.networks.front().fairness[g].edited.*metric.value;
      grouping.metrics.back().note = first.note;
      grouping.metrics.back().left_out = first.left_out;
    }
    for (std::size_t group = 0; group < grouping.groups.size(); ++group)
      grouping.group.push_back(group_summary(report.networks, g, group));
  }
}

const MetricSummary& find_metric(const std::vector<MetricSummary>& metrics, const std::string& name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const auto& m) { return m.metric == name; });
  check(found != metrics.end(), "audit", "no metric `", name, "`");
  return *found;
}

Estimate mean_estimate(const MetricSummary& summary) {
  Estimate estimate{.note = summary.note, .left_out = summary.left_out};
  if (summary.networks > 0) estimate.value = summary.mean;
  return estimate;
}

}  // namespace amend
