#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "requirements/audit.hpp"

namespace amend {

/// A drop is a difference of two rounded quotients: one of exactly a point must not count as more than one.
inline constexpr double kRoundOff = 1e-12;

enum class Worst : std::uint8_t { lowest, highest };

/// A metric of one network by its name in reports; no value leaves the network out.
struct NetworkMetric {
  const char* name;
  Worst worst;
  std::function<std::optional<double>(const NetworkAudit&)> edited;
  std::function<std::optional<double>(const NetworkAudit&)> original;  // empty when there is no such thing
};

/// All that are not about groups.
const std::vector<NetworkMetric>& network_metric_list();

/// A fairness metric by its name in reports.
struct FairnessMetric {
  const char* name;
  Estimate FairnessMetrics::*value;
};

/// All of them, the most used first.
const std::vector<FairnessMetric>& fairness_metric_list();

/// Fills what the report says of the population from its networks: metrics, groupings, networks that lose a point.
void summarise(AuditReport& report, std::uint64_t seed);

/// By its name; throws Error when there is none.
const MetricSummary& find_metric(const std::vector<MetricSummary>& metrics, const std::string& name);

/// The mean over networks; no value without a network.
Estimate mean_estimate(const MetricSummary& summary);

}  // namespace amend
