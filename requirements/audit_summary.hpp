#pragma once

#include <vector>

#include "requirements/audit.hpp"

namespace amend {

/// A fairness metric by its name in reports.
struct FairnessMetric {
  const char* name;
  Estimate FairnessMetrics::*value;
};

/// All of them, the most used first.
const std::vector<FairnessMetric>& fairness_metric_list();

/// A limit that is set.
struct LimitValue {
  const char* name;
  double bound;
};

std::vector<LimitValue> limit_list(const AuditLimits& limits);

/// Fills what the report says of the population from its networks: metrics, groupings, networks that lose a point.
void summarise(AuditReport& report, std::uint64_t seed);

/// Fills the violations from networks and summaries. Throws InputError when a fairness limit is set and there is no
/// grouping to measure it over.
void check_limits(AuditReport& report, LimitScope scope);

}  // namespace amend
