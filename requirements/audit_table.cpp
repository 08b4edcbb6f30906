#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "requirements/audit.hpp"
#include "requirements/audit_limits.hpp"
#include "requirements/audit_summary.hpp"

namespace amend {
namespace {

/// How a metric is shown: its label, its scale (points rather than shares) and its decimals.
struct Style {
  const char* label;
  double scale;
  int decimals;
};

Style style_of(const std::string& metric) {
  static const std::map<std::string, Style> styles{
      {"accuracy", {"accuracy, %", 100.0, 2}},
      {"accuracy_drop", {"accuracy lost, points", 100.0, 2}},
      {"divergence", {"Jensen-Shannon, nats", 1.0, 4}},
      {"features", {"features used", 1.0, 1}},
      {"nonzero_share", {"non-zero weights, %", 100.0, 1}},
      {"nonzero_weights", {"non-zero weights", 1.0, 0}},
      {"live_neurons", {"live hidden neurons", 1.0, 1}},
      {"sparse_bytes", {"bytes (dense; sparse)", 1.0, 0}},
      {"sparse_flops", {"FLOPs a row (same)", 1.0, 0}},
      {"equalised_odds_difference", {"equalised odds", 1.0, 3}},
      {"equalised_odds_sum", {"equalised odds, sum", 1.0, 3}},
      {"equalised_odds_mean", {"equalised odds, mean", 1.0, 3}},
      {"equalised_odds_pairwise", {"equalised odds, pairs", 1.0, 3}},
      {"demographic_parity_difference", {"demographic parity", 1.0, 3}},
      {"equal_opportunity_difference", {"equal opportunity", 1.0, 3}},
  };
  const auto found = styles.find(metric);
  return found == styles.end() ? Style{metric.c_str(), 1.0, 3} : found->second;
}

/// A number at fixed decimals; what rounds to zero has no sign.
std::string show(double value, int decimals) {
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text.front() == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string show(const std::optional<double>& value, const Style& style) {
  return value ? show(*value * style.scale, style.decimals) : "-";
}

std::string show(const std::optional<Interval>& interval, const Style& style) {
  if (!interval) return "-";
  return fmt::format("{} .. {}", show(interval->low * style.scale, style.decimals),
                     show(interval->high * style.scale, style.decimals));
}

/// At most `width` characters of a UTF-8 text; a cut is marked.
std::string cut(const std::string& text, std::size_t width) {
  const auto starts_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; };
  if (static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_character)) <= width) return text;
  std::size_t characters = 0, end = 0;
  for (; end < text.size(); ++end)
    if (starts_character(text[end]) && ++characters == width) break;
  return text.substr(0, end) + "~";
}

/// Lines for a terminal: aligned columns, dropped from the right of `optional_columns` when the width does not suffice.
class Table {
 public:
  Table(std::vector<std::string> header, std::size_t width) : width_(width) { rows_.push_back(std::move(header)); }

  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// A column that goes when there is no room; the first named goes first.
  void may_drop(std::size_t column) { droppable_.push_back(column); }

  std::string text() const {
    const std::size_t columns = rows_.front().size();
    std::vector<std::size_t> widest(columns, 0);
    for (const auto& row : rows_)
      for (std::size_t c = 0; c < columns; ++c) widest[c] = std::max(widest[c], length(row[c]));
    std::vector<bool> shown(columns, true);
    const auto total = [&] {
      std::size_t sum = 0;
      for (std::size_t c = 0; c < columns; ++c)
        if (shown[c]) sum += widest[c] + 2;
      return sum;
    };
    for (std::size_t column : droppable_)
      if (total() > width_) shown[column] = false;
    // What is still too wide comes off the first column, which holds names.
    if (total() > width_) widest[0] = std::max<std::size_t>(8, widest[0] - std::min(widest[0], total() - width_));
    std::string out;
    for (const auto& row : rows_) {
      std::string line;
      for (std::size_t c = 0; c < columns; ++c) {
        if (!shown[c]) continue;
        const std::string cell = cut(row[c], widest[c]);
        const std::string padding(widest[c] - length(cell), ' ');
        line += fmt::format("  {}{}", c == 0 ? cell : padding, c == 0 ? padding : cell);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    return out;
  }

 private:
  /// Characters of a UTF-8 text, as many columns as it takes on a terminal for the names met here.
  static std::size_t length(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
  }

  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> droppable_;
  std::size_t width_;
};

/// Rows of metrics for one network; `interval_of` gives a metric's interval over the rows, if it has one.
template <class IntervalOf>
std::string single_table(const std::vector<MetricSummary>& metrics, const IntervalOf& interval_of, std::size_t width) {
  Table table({"", "original", "edited", "95%"}, width);
  for (const MetricSummary& metric : metrics) {
    const Style style = style_of(metric.metric);
    const auto value = metric.networks > 0 ? std::optional<double>(metric.mean) : std::nullopt;
    table.row(
        {style.label, show(metric.original_mean, style), show(value, style), show(interval_of(metric.metric), style)});
  }
  return table.text();
}

std::optional<Interval> interval_of(const NetworkAudit& network, const std::string& metric) {
  if (metric == "accuracy") return network.accuracy_interval;
  if (metric == "accuracy_drop") return network.accuracy_drop_interval;
  if (metric == "divergence") return network.divergence_interval;
  return std::nullopt;  // counted in the network itself: no sampling error
}

std::optional<Interval> interval_of(const FairnessMetrics& fairness, const std::string& name) {
  for (const FairnessMetric& metric : fairness_metric_list())
    if (metric.name == name) return (fairness.*metric.value).interval;
  return std::nullopt;
}

std::string metric_table(const std::vector<MetricSummary>& metrics, std::size_t width) {
  Table table({"mean over networks", "original", "edited", "95%", "median", "worst", "networks", "worst is"}, width);
  for (std::size_t column : {std::size_t{6}, std::size_t{3}, std::size_t{7}, std::size_t{4}}) table.may_drop(column);
  for (const MetricSummary& metric : metrics) {
    const Style style = style_of(metric.metric);
    const auto known = [&](double value) {
      return show(metric.networks > 0 ? std::optional(value) : std::nullopt, style);
    };
    table.row({style.label, show(metric.original_mean, style), known(metric.mean), show(metric.interval, style),
               known(metric.median), known(metric.worst), std::to_string(metric.networks),
               cut(metric.worst_network, 20)});
  }
  return table.text();
}

/// One row per network: what every requirement asks for.
std::string network_table(const AuditReport& report, std::size_t shown, std::size_t width) {
  std::vector<const NetworkAudit*> order;
  for (const NetworkAudit& network : report.networks) order.push_back(&network);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->accuracy_drop > b->accuracy_drop; });
  order.resize(std::min(order.size(), shown));
  std::vector<std::string> header{"",         "lost, points", "95%",      "accuracy, %",
                                  "JS, nats", "95%",          "features", "weights, %"};
  const std::size_t fixed = header.size();
  for (const Grouping& grouping : report.groupings) header.push_back("odds, " + grouping.name);
  Table table(header, width);
  for (std::size_t column : {std::size_t{5}, std::size_t{3}, std::size_t{2}}) table.may_drop(column);
  for (std::size_t column = header.size(); column > fixed; --column) table.may_drop(column - 1);
  for (const NetworkAudit* network : order) {
    std::vector<std::string> row{network->name,
                                 show(network->accuracy_drop, {"", 100.0, 2}),
                                 show(network->accuracy_drop_interval, {"", 100.0, 2}),
                                 show(network->accuracy, {"", 100.0, 2}),
                                 show(network->divergence, 4),
                                 show(network->divergence_interval, {"", 1.0, 4}),
                                 std::to_string(network->features),
                                 show(network->sparsity.nonzero_share, {"", 100.0, 1})};
    for (const FairnessChange& fairness : network->fairness)
      row.push_back(show(fairness.edited.equalised_odds_difference.value, {"", 1.0, 3}));
    table.row(row);
  }
  return table.text();
}

std::string group_table(const Grouping& grouping, std::size_t width) {
  const auto change = [](const Estimate& original, const Estimate& edited) {
    const Style style{"", 1.0, 3};
    if (!edited.value) return std::string("too few rows");
    return show(original.value, style) + " > " + show(edited.value, style);
  };
  const auto half = [](const Estimate& edited) {
    if (!edited.interval) return std::string("-");
    return show(0.5 * (edited.interval->high - edited.interval->low), 3);
  };
  Table table(
      {"original > edited", "rows", "label 1", "selected", "true positive", "+-", "false positive", "+-", "accuracy"},
      width);
  for (std::size_t column : {std::size_t{8}, std::size_t{7}, std::size_t{5}, std::size_t{3}, std::size_t{2}})
    table.may_drop(column);
  for (const GroupSummary& group : grouping.group)
    table.row({group.name, std::to_string(group.rows), std::to_string(group.positives),
               change(group.original_selection_rate, group.selection_rate),
               change(group.original_true_positive_rate, group.true_positive_rate), half(group.true_positive_rate),
               change(group.original_false_positive_rate, group.false_positive_rate), half(group.false_positive_rate),
               change(group.original_accuracy, group.accuracy)});
  return table.text();
}

/// Whether some group is left out of what a fairness limit is held against.
bool leaves_out(const AuditReport& report, const Limit& limit) {
  return limit.grouped && std::any_of(report.groupings.begin(), report.groupings.end(), [&](const Grouping& grouping) {
           return !find_metric(grouping.metrics, limit.metric).left_out.empty();
         });
}

/// One line per limit, with how many networks break it and the worst of them; below it, what evidence is lacking.
std::string limit_lines(const AuditReport& report, bool color) {
  std::string out;
  for (const Limit& limit : limit_table()) {
    if (!(report.limits.*limit.bound)) continue;
    const Violation* worst = nullptr;
    std::int64_t broken = 0, unknown = 0;
    std::vector<std::string> reasons;
    for (const Violation& violation : report.violations) {
      if (violation.limit != limit.name) continue;
      (violation.exceeded ? broken : unknown) += 1;
      if (violation.exceeded && (!worst || *violation.value > *worst->value)) worst = &violation;
      if (violation.exceeded) continue;
      const std::string reason = fmt::format("over {}, {}", violation.grouping, violation.note);
      if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
    }
    const bool met = broken + unknown == 0;
    const char *mark = color ? (met ? "\x1b[32m" : "\x1b[31m") : "", *end = color ? "\x1b[0m" : "";
    out += fmt::format("  {}{:8}{} {}", mark, met ? "met" : "NOT MET", end,
                       bound_text(limit, *(report.limits.*limit.bound)));
    if (worst)
      out += fmt::format(": {} broken, worst {:.4g} by {}{}", broken, limit.scale * *worst->value, worst->subject,
                         worst->grouping.empty() ? "" : " over " + worst->grouping);
    if (unknown > 0) out += fmt::format("{} {} for lack of evidence", worst ? "," : ":", unknown);
    if (met && leaves_out(report, limit)) out += ", small groups ignored";
    out += "\n";
    for (const std::string& reason : reasons) out += fmt::format("           {}\n", reason);
  }
  return out;
}

}  // namespace

std::string format_table(const AuditReport& report, const TableOptions& options) {
  const auto columns = static_cast<std::size_t>(std::max(options.width, 72));
  const char *bold = options.color ? "\x1b[1m" : "", *end = options.color ? "\x1b[0m" : "";
  const auto heading = [&](const std::string& text) { return fmt::format("\n{}{}{}\n", bold, text, end); };
  const std::size_t networks = report.networks.size();
  const bool single = networks == 1;
  const NetworkAudit& first = report.networks.front();
  const std::string what = single ? fmt::format("network `{}`", first.name) : fmt::format("{} networks", networks);
  std::string out = fmt::format("{}Audit of {} on {} rows of {} ({}){}\n", bold, what, report.rows, report.dataset,
                                report.split, end);
  if (single)
    out += single_table(
        report.metrics, [&](const auto& metric) { return interval_of(first, metric); }, columns);
  else
    out += metric_table(report.metrics, columns);
  const double size = static_cast<double>(networks);
  if (!single)
    out += fmt::format("  {} of {} networks lose more than one point ({:.1f}%, 95% {:.1f} .. {:.1f})\n",
                       report.losing_over_a_point, networks,
                       100.0 * static_cast<double>(report.losing_over_a_point) / size,
                       100.0 * report.losing_share_interval.low, 100.0 * report.losing_share_interval.high);
  const auto wrong = std::count_if(report.networks.begin(), report.networks.end(),
                                   [](const auto& n) { return n.accuracy_without_unused != n.accuracy; });
  if (wrong > 0)
    out += fmt::format("  {} networks answer otherwise when features they do not use are held constant\n", wrong);
  const std::string limits = limit_lines(report, options.color);
  if (!limits.empty()) out += heading("Limits") + limits;
  if (!single) {
    out += heading(networks <= options.networks ? "Networks, most accuracy lost first"
                   : options.networks == 1      ? "The network that loses most accuracy"
                                           : fmt::format("The {} networks that lose most accuracy", options.networks));
    out += network_table(report, options.networks, columns);
  }
  for (std::size_t g = 0; g < report.groupings.size(); ++g) {
    const Grouping& grouping = report.groupings[g];
    out += heading("Fairness over " + grouping.name);
    if (single)
      out += single_table(
          grouping.metrics, [&](const auto& metric) { return interval_of(first.fairness[g].edited, metric); }, columns);
    else
      out += metric_table(grouping.metrics, columns);
    const std::string& note = grouping.metrics.front().note;
    if (!note.empty()) out += fmt::format("  {}\n", note);
    out += fmt::format("\n{}", group_table(grouping, columns));
  }
  return out;
}

}  // namespace amend
