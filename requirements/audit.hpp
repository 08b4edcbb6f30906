#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/device.hpp"
#include "metanet/data/dataset.hpp"
#include "metanet/data/population.hpp"
#include "requirements/metric/fairness.hpp"
#include "requirements/metric/interval.hpp"
#include "requirements/metric/sparsity.hpp"

namespace amend {

/// What an edit must keep to. Rates and drops are shares of 1 (0.01 is one accuracy point); an absent limit is none.
/// Units on the command line, and the range of each: `limit_table`.
struct AuditLimits {
  std::optional<double> max_accuracy_drop;
  std::optional<double> max_divergence;  // nats
  std::optional<double> max_equalised_odds;
  std::optional<double> max_equalised_odds_sum;
  std::optional<double> max_demographic_parity;
  std::optional<double> max_equal_opportunity;
  std::optional<double> max_features;
  std::optional<double> max_nonzero_share;
  std::optional<double> max_live_neurons;
};

/// Whether limits hold for every network or for the mean over networks.
enum class LimitScope : std::uint8_t { every_network, population_mean };

enum class DataSplit : std::uint8_t { subject_train, editor_train, validation, audit };

std::string to_string(DataSplit split);
const Rows& rows_of(const Dataset& dataset, DataSplit split);

struct AuditOptions {
  DataSplit split = DataSplit::audit;
  std::optional<PopulationSplit> networks;  // only networks of this split of the edited population; absent: all
  std::vector<std::string> attributes;      // sensitive attributes to measure over; empty: all the dataset has
  bool intersection = false;                // also over the intersection of them
  std::int64_t minimum_rows = kMinimumRows;
  AuditLimits limits;
  LimitScope scope = LimitScope::every_network;
  bool ignore_small_groups = false;  // a fairness limit may be met by a value that leaves groups out
  std::uint64_t seed = 1;            // of the bootstrap
  Device device;                     // where the networks run; everything else is counted on the CPU
};

/// Fairness of one network over one grouping of the rows.
struct FairnessChange {
  FairnessMetrics original, edited;
};

/// One network before and after its edit. Intervals hold for the rows as a sample.
struct NetworkAudit {
  std::string name;
  double original_accuracy = 0.0, accuracy = 0.0;
  Interval original_accuracy_interval, accuracy_interval;  // Wilson
  double accuracy_drop = 0.0;
  Interval accuracy_drop_interval;                   // paired bootstrap over rows
  double divergence = 0.0;                           // mean Jensen-Shannon divergence, nats
  Interval divergence_interval;                      // bootstrap over rows
  std::int64_t original_features = 0, features = 0;  // features really used
  std::vector<std::string> used_features;            // of the edited network
  double accuracy_without_unused = 0.0;              // every unused feature replaced by a constant
  Sparsity original_sparsity, sparsity;
  std::vector<FairnessChange> fairness;  // as AuditReport::groupings
};

/// One number over the networks. Networks without an estimate are not counted in.
struct MetricSummary {
  std::string metric;  // accuracy, accuracy_drop, ...
  std::int64_t networks = 0;
  std::optional<double> original_mean;
  double mean = 0.0, median = 0.0, worst = 0.0;
  std::optional<Interval> interval;  // of the mean: bootstrap over networks; absent for a single network
  std::string worst_network;
  std::string note;                   // what single networks' notes say
  std::vector<std::string> left_out;  // as Estimate::left_out
};

/// One group over the networks. Every network sees the same rows, so counts are those of the data; a rate is the mean
/// over networks and its interval Wilson's for that rate and count, which is at least as wide as the mean deserves.
struct GroupSummary {
  std::string name;
  std::int64_t rows = 0, positives = 0;
  Estimate original_accuracy, accuracy, original_selection_rate, selection_rate;
  Estimate original_true_positive_rate, true_positive_rate, original_false_positive_rate, false_positive_rate;
};

/// A sensitive attribute, or the intersection of several, over the networks.
struct Grouping {
  std::string name;  // `sex`, or `sex & race`
  std::vector<std::string> groups;
  std::vector<MetricSummary> metrics;
  std::vector<GroupSummary> group;
};

/// A limit that is not met, or that cannot be shown to be met: there is no value, or one that leaves groups out.
struct Violation {
  std::string limit;    // `max_accuracy_drop`
  std::string subject;  // network name, or `mean of N networks`
  std::string grouping;
  double bound = 0.0;
  std::optional<double> value;
  bool exceeded = false;  // the value is above the bound; otherwise evidence is lacking
  std::vector<std::string> left_out;
  std::string note;
};

struct AuditReport {
  std::string dataset, split;
  std::int64_t rows = 0;
  int classes = 0;
  std::int64_t feature_count = 0, minimum_rows = 0;
  std::vector<NetworkAudit> networks;
  std::vector<MetricSummary> metrics;    // of the population
  std::int64_t losing_over_a_point = 0;  // networks whose accuracy falls by more than 0.01
  Interval losing_share_interval;        // Wilson
  std::vector<Grouping> groupings;
  AuditLimits limits;
  bool ignore_small_groups = false;
  std::vector<Violation> violations;
};

/// Compares edited networks with their originals on rows that neither has seen. Networks are matched by name. Limits
/// are held against point estimates, not against ends of intervals. Throws InputError when names do not match one to
/// one, the networks do not fit the dataset or belong to another, an attribute is unknown, named twice or missing for a
/// limit or an intersection, a limit is out of range, or the split has no rows.
AuditReport audit(const Population& original, const Population& edited, const Dataset& dataset,
                  const AuditOptions& options = {});

/// Everything in the report; absent estimates are null beside a `note`.
nlohmann::ordered_json to_json(const AuditReport& report);

/// How a report is laid out as text.
struct TableOptions {
  int width = 100;           // columns of the terminal, at least 72
  bool color = false;        // marks violations
  std::size_t networks = 5;  // rows of single networks, those that lose most accuracy first
};

/// The report as text: population first, then the worst networks, then the groups. A single network comes with
/// intervals over the rows instead of over networks.
std::string format_table(const AuditReport& report, const TableOptions& options = {});

}  // namespace amend
