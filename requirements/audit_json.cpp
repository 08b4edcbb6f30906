#include "requirements/audit.hpp"
#include "requirements/audit_limits.hpp"
#include "requirements/audit_summary.hpp"

namespace amend {
namespace {

using Json = nlohmann::ordered_json;

Json number(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json interval(const std::optional<Interval>& value) { return value ? Json{value->low, value->high} : Json(nullptr); }

Json estimate(const Estimate& value) {
  Json json{{"value", number(value.value)}};
  if (value.interval) json["interval"] = interval(value.interval);
  if (!value.note.empty()) json["note"] = value.note;
  if (value.partial()) json["left_out"] = value.left_out;
  return json;
}

Json fairness(const FairnessMetrics& metrics) {
  Json json = Json::object();
  for (const FairnessMetric& metric : fairness_metric_list()) json[metric.name] = estimate(metrics.*metric.value);
  Json& groups = json["groups"] = Json::array();
  for (const GroupRates& group : metrics.groups)
    groups.push_back({{"name", group.name},
                      {"rows", group.count.rows},
                      {"positives", group.count.positives},
                      {"correct", group.count.correct},
                      {"selected", group.count.selected},
                      {"true_positives", group.count.true_positives},
                      {"false_positives", group.count.false_positives},
                      {"accuracy", estimate(group.accuracy)},
                      {"selection_rate", estimate(group.selection_rate)},
                      {"true_positive_rate", estimate(group.true_positive_rate)},
                      {"false_positive_rate", estimate(group.false_positive_rate)}});
  return json;
}

Json cost(const Sparsity& value) {
  return {{"weights", value.weights},
          {"nonzero_weights", value.nonzero_weights},
          {"nonzero_share", value.nonzero_share},
          {"dense_bytes", value.dense_bytes},
          {"sparse_bytes", value.sparse_bytes},
          {"dense_flops", value.dense_flops},
          {"sparse_flops", value.sparse_flops},
          {"hidden_neurons", value.hidden_neurons},
          {"live_neurons", value.live_neurons}};
}

Json network_json(const NetworkAudit& network, const AuditReport& report) {
  Json json{{"name", network.name},
            {"accuracy",
             {{"original", network.original_accuracy},
              {"original_interval", interval(network.original_accuracy_interval)},
              {"edited", network.accuracy},
              {"edited_interval", interval(network.accuracy_interval)},
              {"drop", network.accuracy_drop},
              {"drop_interval", interval(network.accuracy_drop_interval)},
              {"edited_without_unused_features", network.accuracy_without_unused}}},
            {"divergence", {{"value", network.divergence}, {"interval", interval(network.divergence_interval)}}},
            {"features", {{"original", network.original_features}, {"edited", network.features}}},
            {"used_features", network.used_features},
            {"cost", {{"original", cost(network.original_sparsity)}, {"edited", cost(network.sparsity)}}}};
  Json& groupings = json["fairness"] = Json::object();
  for (std::size_t g = 0; g < network.fairness.size(); ++g)
    groupings[report.groupings[g].name] = {{"original", fairness(network.fairness[g].original)},
                                           {"edited", fairness(network.fairness[g].edited)}};
  return json;
}

Json summaries(const std::vector<MetricSummary>& metrics) {
  Json json = Json::object();
  for (const MetricSummary& metric : metrics) {
    Json& entry =
        json[metric.metric] = {{"networks", metric.networks}, {"original_mean", number(metric.original_mean)}};
    // Without a network there is no number either: not a zero.
    const auto known = [&](double value) { return metric.networks > 0 ? Json(value) : Json(nullptr); };
    entry["mean"] = known(metric.mean);
    entry["mean_interval"] = interval(metric.interval);
    entry["median"] = known(metric.median);
    entry["worst"] = known(metric.worst);
    entry["worst_network"] = metric.worst_network;
    if (!metric.note.empty()) entry["note"] = metric.note;
    if (!metric.left_out.empty()) entry["left_out"] = metric.left_out;
  }
  return json;
}

Json grouping_json(const Grouping& grouping) {
  Json json{{"metrics", summaries(grouping.metrics)}, {"groups", Json::array()}};
  for (const GroupSummary& group : grouping.group) {
    const auto change = [](const Estimate& original, const Estimate& edited) {
      return Json{{"original", estimate(original)}, {"edited", estimate(edited)}};
    };
    json["groups"].push_back(
        {{"name", group.name},
         {"rows", group.rows},
         {"positives", group.positives},
         {"accuracy", change(group.original_accuracy, group.accuracy)},
         {"selection_rate", change(group.original_selection_rate, group.selection_rate)},
         {"true_positive_rate", change(group.original_true_positive_rate, group.true_positive_rate)},
         {"false_positive_rate", change(group.original_false_positive_rate, group.false_positive_rate)}});
  }
  return json;
}

}  // namespace

nlohmann::ordered_json to_json(const AuditReport& report) {
  Json json{{"format", "amend-audit"},
            {"dataset", report.dataset},
            {"split", report.split},
            {"rows", report.rows},
            {"classes", report.classes},
            {"features", report.feature_count},
            {"minimum_rows", report.minimum_rows},
            {"ignore_small_groups", report.ignore_small_groups},
            {"networks_audited", report.networks.size()},
            {"networks_losing_over_a_point", report.losing_over_a_point},
            {"share_losing_over_a_point",
             {{"value", static_cast<double>(report.losing_over_a_point) / static_cast<double>(report.networks.size())},
              {"interval", interval(report.losing_share_interval)}}},
            {"population", summaries(report.metrics)}};
  Json& groupings = json["fairness"] = Json::object();
  for (const Grouping& grouping : report.groupings) groupings[grouping.name] = grouping_json(grouping);
  Json& limits = json["limits"] = Json::object();
  for (const Limit& limit : limit_table())
    if (const auto bound = report.limits.*limit.bound) limits[limit.name] = *bound;
  Json& violations = json["violations"] = Json::array();
  for (const Violation& violation : report.violations)
    violations.push_back({{"limit", violation.limit},
                          {"subject", violation.subject},
                          {"grouping", violation.grouping},
                          {"bound", violation.bound},
                          {"value", number(violation.value)},
                          {"exceeded", violation.exceeded},
                          {"left_out", violation.left_out},
                          {"note", violation.note}});
  Json& networks = json["networks"] = Json::array();
  for (const NetworkAudit& network : report.networks) networks.push_back(network_json(network, report));
  return json;
}

}  // namespace amend
