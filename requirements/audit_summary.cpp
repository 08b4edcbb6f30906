#include "requirements/audit_summary.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/error.hpp"

namespace amend {
namespace {

constexpr double kOnePoint = 0.01;
// A drop is a difference of two rounded quotients: one of exactly a point must not count as more than one.
constexpr double kRoundOff = 1e-12;

enum class Worst : std::uint8_t { lowest, highest };

/// A metric of one network; no value leaves the network out.
struct NetworkMetric {
  const char* name;
  Worst worst;
  std::function<std::optional<double>(const NetworkAudit&)> edited;
  std::function<std::optional<double>(const NetworkAudit&)> original;  // empty when there is no such thing
};

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

const std::vector<NetworkMetric>& network_metrics() {
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

/// A limit and the summary it is held against; `grouped` ones are fairness metrics.
struct LimitRow {
  const char* name;
  std::optional<double> AuditLimits::*bound;
  const char* metric;
  bool grouped;
};

const LimitRow kLimits[] = {
    {"max_accuracy_drop", &AuditLimits::max_accuracy_drop, "accuracy_drop", false},
    {"max_divergence", &AuditLimits::max_divergence, "divergence", false},
    {"max_features", &AuditLimits::max_features, "features", false},
    {"max_nonzero_share", &AuditLimits::max_nonzero_share, "nonzero_share", false},
    {"max_live_neurons", &AuditLimits::max_live_neurons, "live_neurons", false},
    {"max_equalised_odds", &AuditLimits::max_equalised_odds, "equalised_odds_difference", true},
    {"max_equalised_odds_sum", &AuditLimits::max_equalised_odds_sum, "equalised_odds_sum", true},
    {"max_demographic_parity", &AuditLimits::max_demographic_parity, "demographic_parity_difference", true},
    {"max_equal_opportunity", &AuditLimits::max_equal_opportunity, "equal_opportunity_difference", true},
};

const MetricSummary& find_metric(const std::vector<MetricSummary>& metrics, const std::string& name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const auto& m) { return m.metric == name; });
  check(found != metrics.end(), "audit", "no metric `", name, "`");
  return *found;
}

/// Holds one value against one limit.
void hold(AuditReport& report, const LimitRow& limit, const std::string& subject, const std::string& grouping,
          std::optional<double> value, const std::string& note) {
  const double bound = *(report.limits.*limit.bound);
  if (value && *value <= bound + kRoundOff) return;
  report.violations.push_back({limit.name, subject, grouping, bound, value, note});
}

}  // namespace

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

std::vector<LimitValue> limit_list(const AuditLimits& limits) {
  std::vector<LimitValue> list;
  for (const LimitRow& limit : kLimits)
    if (limits.*limit.bound) list.push_back({limit.name, *(limits.*limit.bound)});
  return list;
}

void summarise(AuditReport& report, std::uint64_t seed) {
  for (const NetworkMetric& metric : network_metrics())
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
      grouping.metrics.back().note = (report.networks.front().fairness[g].edited.*metric.value).note;
    }
    for (std::size_t group = 0; group < grouping.groups.size(); ++group)
      grouping.group.push_back(group_summary(report.networks, g, group));
  }
}

void check_limits(AuditReport& report, LimitScope scope) {
  const std::string mean_of = "mean of " + std::to_string(report.networks.size()) + " networks";
  for (const LimitRow& limit : kLimits) {
    if (!(report.limits.*limit.bound)) continue;
    if (limit.grouped && report.groupings.empty())
      fail_input(limit.name, "expected a dataset with a sensitive attribute, `", report.dataset, "` has none");
    if (!limit.grouped) {
      const auto& metrics = network_metrics();
      const auto metric = std::find_if(metrics.begin(), metrics.end(),
                                       [&](const auto& m) { return std::string(m.name) == limit.metric; });
      if (scope == LimitScope::population_mean)
        hold(report, limit, mean_of, {}, find_metric(report.metrics, limit.metric).mean, {});
      else
        for (const NetworkAudit& network : report.networks)
          hold(report, limit, network.name, {}, metric->edited(network), {});
      continue;
    }
    const auto& list = fairness_metric_list();
    const auto metric =
        std::find_if(list.begin(), list.end(), [&](const auto& m) { return std::string(m.name) == limit.metric; });
    for (std::size_t g = 0; g < report.groupings.size(); ++g) {
      const Grouping& grouping = report.groupings[g];
      if (scope == LimitScope::population_mean) {
        const MetricSummary& summary = find_metric(grouping.metrics, limit.metric);
        hold(report, limit, mean_of, grouping.name,
             summary.networks > 0 ? std::optional<double>(summary.mean) : std::nullopt, summary.note);
        continue;
      }
      for (const NetworkAudit& network : report.networks) {
        const Estimate& estimate = network.fairness[g].edited.*metric->value;
        hold(report, limit, network.name, grouping.name, estimate.value, estimate.note);
      }
    }
  }
}

}  // namespace amend
