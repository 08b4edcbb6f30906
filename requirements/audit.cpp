#include "requirements/audit.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/audit_limits.hpp"
#include "requirements/audit_summary.hpp"
#include "requirements/metric/feature_use.hpp"
#include "requirements/metric/utility.hpp"

namespace amend {
namespace {

// Logits of originals and edited networks, and their rows' divergence and losses, are held for one chunk of networks.
constexpr std::int64_t kChunkBytes = std::int64_t{64} << 20;

struct Pair {
  const SubjectNetwork* original;
  const SubjectNetwork* edited;
};

std::string name_list(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", `" : "`") + names[i] + '`';
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

std::map<std::string, const SubjectNetwork*> by_name(const Population& population, const char* which) {
  std::map<std::string, const SubjectNetwork*> networks;
  for (const SubjectNetwork& network : population.networks)
    if (!networks.emplace(network.name, &network).second)
      fail_input(which, "network `", network.name, "` appears twice");
  return networks;
}

/// Pairs of equal names in the order of the edited population.
std::vector<Pair> match(const Population& original, const Population& edited, const AuditOptions& options) {
  const auto originals = by_name(original, "original population"), edits = by_name(edited, "edited population");
  std::vector<std::string> only_original, only_edited;
  for (const auto& [name, network] : originals)
    if (!edits.contains(name)) only_original.push_back(name);
  for (const auto& [name, network] : edits)
    if (!originals.contains(name)) only_edited.push_back(name);
  if (!only_original.empty())
    fail_input("edited population", "expected a network for every original, got none for ", name_list(only_original));
  if (!only_edited.empty())
    fail_input("original population", "expected a network for every edited one, got none for ", name_list(only_edited));
  std::vector<Pair> pairs;
  for (std::size_t n = 0; n < edited.networks.size(); ++n) {
    if (options.networks && (n >= edited.split.size() || edited.split[n] != *options.networks)) continue;
    pairs.push_back({originals.at(edited.networks[n].name), &edited.networks[n]});
  }
  if (pairs.empty())
    fail_input("edited population", "no network to audit",
               options.networks ? " in split `" + to_string(*options.networks) + "`" : std::string());
  return pairs;
}

void check_fit(const Population& population, const std::vector<Pair>& pairs, const Dataset& dataset,
               const char* which) {
  if (!population.dataset_fingerprint.empty() && !dataset.fingerprint.empty() &&
      population.dataset_fingerprint != dataset.fingerprint)
    fail_input(which, "belongs to dataset `", population.dataset_name, "` with fingerprint ",
               population.dataset_fingerprint.substr(0, 12), ", the data given are `", dataset.name, "` with ",
               dataset.fingerprint.substr(0, 12));
  for (const Pair& pair : pairs)
    for (const SubjectNetwork* network : {pair.original, pair.edited})
      if (network->widths.front() != dataset.inputs || network->widths.back() != dataset.classes)
        fail_input(which, "network `", network->name, "` has ", network->widths.front(), " inputs and ",
                   network->widths.back(), " outputs, dataset `", dataset.name, "` has ", dataset.inputs, " and ",
                   dataset.classes);
}

/// The rows by group, one entry per sensitive attribute asked for and one for their intersection.
struct RowGroups {
  std::vector<std::int32_t> id;
  std::vector<std::string> names;
};

std::vector<RowGroups> row_groups(const Dataset& dataset, const Rows& rows, const AuditOptions& options,
                                  AuditReport& report) {
  std::vector<std::string> attributes = options.attributes;
  if (attributes.empty())
    for (const SensitiveAttribute& attribute : dataset.sensitive) attributes.push_back(attribute.name);
  std::set<std::string> named;
  for (const std::string& attribute : attributes)
    if (!named.insert(attribute).second) fail_input("--sensitive", "`", attribute, "` is named twice");
  if (options.intersection && attributes.size() < 2)
    fail_input("--intersection", "needs two sensitive attributes, got ",
               attributes.empty() ? "none" : "only " + name_list(attributes));
  std::vector<std::vector<std::string>> groupings;
  for (const std::string& attribute : attributes) groupings.push_back({attribute});
  if (options.intersection) groupings.push_back(attributes);
  std::vector<RowGroups> groups;
  for (const auto& grouping : groupings) {
    groups.push_back({group_ids(dataset, rows, grouping), group_names(dataset, grouping)});
    Grouping& entry = report.groupings.emplace_back();
    for (const std::string& attribute : grouping) entry.name += (entry.name.empty() ? "" : " & ") + attribute;
    entry.groups = groups.back().names;
  }
  return groups;
}

/// What the networks are measured on.
struct Measurement {
  const Dataset& dataset;
  const Rows& rows;
  const std::vector<RowGroups>& groups;
  std::int64_t minimum_rows;
  Device device;
};

/// Everything but the bootstrap intervals. `loss` and `divergence` receive one number per row.
NetworkAudit measure(const Pair& pair, std::span<const float> original, std::span<const float> edited,
                     const Measurement& data, double* loss, double* divergence) {
  const Rows& rows = data.rows;
  const int classes = data.dataset.classes;
  NetworkAudit result;
  result.name = pair.edited->name;
  const auto before = predicted_classes(original, classes), after = predicted_classes(edited, classes);
  result.original_accuracy = accuracy(before, rows.label);
  result.accuracy = accuracy(after, rows.label);
  const auto interval = [&](double rate) {
    return wilson_interval(rate * static_cast<double>(rows.count), rows.count);
  };
  result.original_accuracy_interval = interval(result.original_accuracy);
  result.accuracy_interval = interval(result.accuracy);
  result.accuracy_drop = result.original_accuracy - result.accuracy;
  for (std::size_t row = 0; row < rows.label.size(); ++row)
    loss[row] =
        static_cast<double>(before[row] == rows.label[row]) - static_cast<double>(after[row] == rows.label[row]);
  const std::vector<double> by_row = row_divergence(original, edited, classes);
  std::copy(by_row.begin(), by_row.end(), divergence);
  for (double value : by_row) result.divergence += value / static_cast<double>(rows.count);

  const auto used_before = used_features(*pair.original, data.dataset.features);
  const auto used = used_features(*pair.edited, data.dataset.features);
  result.original_features = std::count(used_before.begin(), used_before.end(), 1);
  result.features = std::count(used.begin(), used.end(), 1);
  for (std::size_t f = 0; f < used.size(); ++f)
    if (used[f]) result.used_features.push_back(data.dataset.features[f].name);
  result.original_sparsity = sparsity(*pair.original);
  result.sparsity = sparsity(*pair.edited);
  for (const RowGroups& group : data.groups)
    result.fairness.push_back({fairness_metrics(before, rows.label, group.id, group.names, classes, data.minimum_rows),
                               fairness_metrics(after, rows.label, group.id, group.names, classes, data.minimum_rows)});
  return result;
}

/// Networks that use the same features are evaluated together on rows where all others are constant.
void measure_without_unused(const std::vector<Pair>& pairs, const Measurement& data,
                            std::vector<NetworkAudit>& networks) {
  std::map<std::string, std::vector<std::size_t>> by_use;  // the marks of the features, as bytes
  for (std::size_t n = 0; n < pairs.size(); ++n) {
    const auto used = used_features(*pairs[n].edited, data.dataset.features);
    by_use[std::string(used.begin(), used.end())].push_back(n);
  }
  for (const auto& [marks, members] : by_use) {
    const std::vector<std::uint8_t> used(marks.begin(), marks.end());
    if (std::count(used.begin(), used.end(), 0) == 0) {
      for (std::size_t n : members) networks[n].accuracy_without_unused = networks[n].accuracy;
      continue;
    }
    const auto input = without_features(data.rows.input, data.dataset.inputs, data.dataset.features, used);
    std::vector<const SubjectNetwork*> subjects;
    for (std::size_t n : members) subjects.push_back(pairs[n].edited);
    const std::size_t size = data.rows.label.size() * static_cast<std::size_t>(data.dataset.classes);
    const auto receive = [&](const PredictedChunk& chunk) {
      for (std::int64_t k = 0; k < chunk.count; ++k) {
        const auto logits = chunk.logits.subspan(static_cast<std::size_t>(k) * size, size);
        networks[members[static_cast<std::size_t>(chunk.first + k)]].accuracy_without_unused =
            accuracy(predicted_classes(logits, data.dataset.classes), data.rows.label);
      }
    };
    predict_in_chunks(subjects, input.data(), data.rows.count, data.dataset.inputs, receive, data.device);
  }
}

std::vector<NetworkAudit> audit_networks(const std::vector<Pair>& pairs, const Measurement& data, std::uint64_t seed) {
  const Rows& rows = data.rows;
  const auto row_count = static_cast<std::size_t>(rows.count);
  const std::size_t logits_size = row_count * static_cast<std::size_t>(data.dataset.classes);
  const std::size_t network_bytes = 2 * (logits_size * sizeof(float) + row_count * sizeof(double));
  const std::size_t chunk = std::max<std::size_t>(1, static_cast<std::size_t>(kChunkBytes) / network_bytes);
  std::vector<NetworkAudit> networks(pairs.size());
  for (std::size_t first = 0; first < pairs.size(); first += chunk) {
    const std::size_t count = std::min(chunk, pairs.size() - first);
    std::vector<const SubjectNetwork*> originals, edits;
    for (std::size_t k = 0; k < count; ++k) {
      originals.push_back(pairs[first + k].original);
      edits.push_back(pairs[first + k].edited);
    }
    const auto logits_of = [&](const std::vector<const SubjectNetwork*>& subjects) {
      return predict_logits(subjects, rows.input.data(), rows.count, data.dataset.inputs, data.device);
    };
    const auto before = logits_of(originals), after = logits_of(edits);
    std::vector<double> series(2 * count * row_count);  // (networks, {loss, divergence}, rows)
    parallel_for(static_cast<std::int64_t>(count), [&](std::int64_t index) {
      const auto k = static_cast<std::size_t>(index);
      double* loss = series.data() + 2 * k * row_count;
      networks[first + k] =
          measure(pairs[first + k], std::span(before).subspan(k * logits_size, logits_size),
                  std::span(after).subspan(k * logits_size, logits_size), data, loss, loss + row_count);
    });
    const auto intervals = bootstrap_intervals(series, static_cast<std::int64_t>(2 * count), seed);
    for (std::size_t k = 0; k < count; ++k) {
      networks[first + k].accuracy_drop_interval = intervals[2 * k];
      networks[first + k].divergence_interval = intervals[2 * k + 1];
    }
  }
  measure_without_unused(pairs, data, networks);
  return networks;
}

}  // namespace

std::string to_string(DataSplit split) {
  switch (split) {
    case DataSplit::subject_train: return "subject_train";
    case DataSplit::editor_train: return "editor_train";
    case DataSplit::validation: return "validation";
    case DataSplit::audit: break;
  }
  return "audit";
}

const Rows& rows_of(const Dataset& dataset, DataSplit split) {
  switch (split) {
    case DataSplit::subject_train: return dataset.subject_train;
    case DataSplit::editor_train: return dataset.editor_train;
    case DataSplit::validation: return dataset.validation;
    case DataSplit::audit: break;
  }
  return dataset.audit;
}

AuditReport audit(const Population& original, const Population& edited, const Dataset& dataset,
                  const AuditOptions& options) {
  check_bounds(options.limits);
  const std::vector<Pair> pairs = match(original, edited, options);
  check_fit(original, pairs, dataset, "original population");
  check_fit(edited, pairs, dataset, "edited population");
  const Rows& rows = rows_of(dataset, options.split);
  if (rows.count == 0) fail_input("dataset `" + dataset.name + "`", "split ", to_string(options.split), " has no rows");

  AuditReport report;
  report.dataset = dataset.name;
  report.split = to_string(options.split);
  report.rows = rows.count;
  report.classes = dataset.classes;
  report.feature_count = static_cast<std::int64_t>(dataset.features.size());
  report.minimum_rows = options.minimum_rows;
  report.limits = options.limits;
  report.ignore_small_groups = options.ignore_small_groups;
  const std::vector<RowGroups> groups = row_groups(dataset, rows, options, report);
  report.networks = audit_networks(pairs, {dataset, rows, groups, options.minimum_rows, options.device}, options.seed);
  summarise(report, options.seed);
  check_limits(report, options.scope);
  return report;
}

}  // namespace amend
