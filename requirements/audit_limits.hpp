#pragma once

#include <optional>
#include <span>
#include <string>

#include "requirements/audit.hpp"

namespace amend {

/// A limit: what it is held against, and how a user states it. Its unit is that of the command line and of tables;
/// `scale` of it make 1 in an AuditLimits.
struct Limit {
  const char* name;  // `max_accuracy_drop`, in reports
  std::optional<double> AuditLimits::*bound;
  const char* metric;  // of a MetricSummary
  bool grouped;        // a fairness metric: held over every grouping
  const char* unit;
  double scale;
  double low, high;  // what a bound may be, in the unit; `high` may be infinite
  const char* help;
};

/// All of them, in the order in which reports name them.
std::span<const Limit> limit_table();

/// By its name in reports; throws Error when there is none.
const Limit& find_limit(const std::string& name);

/// `--max-accuracy-drop`.
std::string limit_option(const Limit& limit);

/// What a user typed, in the limit's unit; nothing when it is no finite number in the limit's range.
std::optional<double> parse_bound(const Limit& limit, const std::string& text);

/// `-100 to 100 (points)`.
std::string range_text(const Limit& limit);

/// `--max-accuracy-drop 1 (points)` of a bound of 0.01.
std::string bound_text(const Limit& limit, double bound);

/// `--max-accuracy-drop 1 (points): n12 has 1.5`.
std::string violation_text(const Violation& violation);

/// Throws InputError when a bound is outside its range.
void check_bounds(const AuditLimits& limits);

/// Fills the violations from networks and summaries. Throws InputError when a fairness limit is set and there is no
/// grouping to measure it over.
void check_limits(AuditReport& report, LimitScope scope);

}  // namespace amend
