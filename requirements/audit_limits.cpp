#include "requirements/audit_limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/error.hpp"
#include "requirements/audit_summary.hpp"

namespace amend {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

const Limit kLimits[] = {
    {"max_accuracy_drop", &AuditLimits::max_accuracy_drop, "accuracy_drop", false, "points", 100.0, -100.0, 100.0,
     "In accuracy points: 1 is from 85% to 84%"},
    {"max_divergence", &AuditLimits::max_divergence, "divergence", false, "nats", 1.0, 0.0, 0.6932,
     "Jensen-Shannon, nats: 0 .. 0.6932"},
    {"max_features", &AuditLimits::max_features, "features", false, "features", 1.0, 0.0, kInfinity,
     "Features really used"},
    {"max_nonzero_share", &AuditLimits::max_nonzero_share, "nonzero_share", false, "share of weights", 1.0, 0.0, 1.0,
     "Share of weights that are not zero: 0 .. 1"},
    {"max_live_neurons", &AuditLimits::max_live_neurons, "live_neurons", false, "neurons", 1.0, 0.0, kInfinity,
     "Hidden neurons that still matter"},
    {"max_equalised_odds", &AuditLimits::max_equalised_odds, "equalised_odds_difference", true, "gap of rates", 1.0,
     0.0, 1.0, "The larger gap of true- and false-positive rate: 0 .. 1"},
    {"max_equalised_odds_sum", &AuditLimits::max_equalised_odds_sum, "equalised_odds_sum", true, "sum of two gaps", 1.0,
     0.0, 2.0, "The sum of both gaps: 0 .. 2"},
    {"max_demographic_parity", &AuditLimits::max_demographic_parity, "demographic_parity_difference", true,
     "gap of rates", 1.0, 0.0, 1.0, "The gap of the selection rate: 0 .. 1"},
    {"max_equal_opportunity", &AuditLimits::max_equal_opportunity, "equal_opportunity_difference", true, "gap of rates",
     1.0, 0.0, 1.0, "The gap of the true-positive rate: 0 .. 1"},
};

bool in_range(const Limit& limit, double typed) {
  return std::isfinite(typed) && typed >= limit.low && typed <= limit.high;
}

/// Holds one value against one limit. A value that leaves groups out says nothing of them, so it shows nothing to hold.
void hold(AuditReport& report, const Limit& limit, const std::string& subject, const std::string& grouping,
          const Estimate& estimate) {
  const double bound = *(report.limits.*limit.bound);
  const bool exceeded = estimate.value && !(*estimate.value <= bound + kRoundOff);
  const bool shown = estimate.value && (!estimate.partial() || report.ignore_small_groups);
  if (shown && !exceeded) return;
  report.violations.push_back(
      {limit.name, subject, grouping, bound, estimate.value, exceeded, estimate.left_out, estimate.note});
}

template <class Metric>
const Metric& by_name(const std::vector<Metric>& list, const Limit& limit) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Metric& metric) { return std::string(metric.name) == limit.metric; });
  check(found != list.end(), "audit", "no metric `", limit.metric, "` for ", limit.name);
  return *found;
}

}  // namespace

std::span<const Limit> limit_table() { return kLimits; }

const Limit& find_limit(const std::string& name) {
  const auto found =
      std::find_if(std::begin(kLimits), std::end(kLimits), [&](const auto& l) { return l.name == name; });
  check(found != std::end(kLimits), "audit", "no limit `", name, "`");
  return *found;
}

std::string limit_option(const Limit& limit) {
  std::string option = limit.name;
  std::replace(option.begin(), option.end(), '_', '-');
  return "--" + option;
}

std::optional<double> parse_bound(const Limit& limit, const std::string& text) {
  double typed = 0.0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, typed);
  if (error != std::errc() || stop != end || !in_range(limit, typed)) return std::nullopt;
  return typed;
}

std::string range_text(const Limit& limit) {
  if (std::isinf(limit.high)) return fmt::format("{:g} or more ({})", limit.low, limit.unit);
  return fmt::format("{:g} to {:g} ({})", limit.low, limit.high, limit.unit);
}

std::string bound_text(const Limit& limit, double bound) {
  return fmt::format("{} {:g} ({})", limit_option(limit), limit.scale * bound, limit.unit);
}

std::string violation_text(const Violation& violation) {
  const Limit& limit = find_limit(violation.limit);
  std::string text = bound_text(limit, violation.bound) + ": " + violation.subject;
  if (!violation.grouping.empty()) text += " over " + violation.grouping;
  if (!violation.value) return text + " has no estimate (" + violation.note + ")";
  text += fmt::format(" has {:.4g}", limit.scale * *violation.value);
  if (!violation.note.empty()) text += " " + violation.note;
  if (!violation.exceeded) text += " (--ignore-small-groups accepts that)";
  return text;
}

void check_bounds(const AuditLimits& limits) {
  for (const Limit& limit : kLimits) {
    const std::optional<double>& bound = limits.*limit.bound;
    if (bound && !in_range(limit, limit.scale * *bound))
      fail_input(limit_option(limit), "expected ", range_text(limit), ", got ", limit.scale * *bound);
  }
}

void check_limits(AuditReport& report, LimitScope scope) {
  const std::string mean_of = "mean of " + std::to_string(report.networks.size()) + " networks";
  for (const Limit& limit : kLimits) {
    if (!(report.limits.*limit.bound)) continue;
    if (limit.grouped && report.groupings.empty())
      fail_input(limit_option(limit), "expected a dataset with a sensitive attribute, `", report.dataset, "` has none");
    if (!limit.grouped) {
      const NetworkMetric& metric = by_name(network_metric_list(), limit);
      if (scope == LimitScope::population_mean)
        hold(report, limit, mean_of, {}, mean_estimate(find_metric(report.metrics, limit.metric)));
      else
        for (const NetworkAudit& network : report.networks)
          hold(report, limit, network.name, {}, {.value = metric.edited(network)});
      continue;
    }
    const FairnessMetric& metric = by_name(fairness_metric_list(), limit);
    for (std::size_t g = 0; g < report.groupings.size(); ++g) {
      const Grouping& grouping = report.groupings[g];
      if (scope == LimitScope::population_mean)
        hold(report, limit, mean_of, grouping.name, mean_estimate(find_metric(grouping.metrics, limit.metric)));
      else
        for (const NetworkAudit& network : report.networks)
          hold(report, limit, network.name, grouping.name, network.fairness[g].edited.*metric.value);
    }
  }
}

}  // namespace amend
