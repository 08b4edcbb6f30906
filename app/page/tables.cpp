#include "app/page/tables.hpp"

#include <fmt/format.h>

#include "app/page/html_text.hpp"
#include "app/page/verdict.hpp"

namespace amend::page {
namespace {

constexpr const char* kNothing = "\u2013";

/// A table that scrolls by itself where the screen is too narrow, by keyboard too.
std::string scrolling(const std::string& name, const std::string& table) {
  return fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n{}</div>\n",
                     escaped(name), table);
}

std::string cell(const std::string& text) { return "<td>" + escaped(text) + "</td>"; }

/// `0.93` with its interval below it in smaller letters.
std::string cell(const ComparedMean& value, int digits) {
  return fmt::format("<td>{} <small>{} to {}</small></td>", decimals(value.mean, digits),
                     decimals(value.interval.low, digits), decimals(value.interval.high, digits));
}

/// Hypervolume, lead and wins; the editor has no lead over itself.
std::string volume_cells(const ComparedVolume* volume, bool editor) {
  if (!volume) return cell(kNothing) + cell(kNothing) + cell(kNothing);
  if (editor) return cell(volume->volume, 3) + cell(kNothing) + cell(kNothing);
  return cell(volume->volume, 3) + cell(volume->editor_lead, 4) + cell(decimals(100.0 * volume->editor_wins, 0) + "%");
}

std::string verdict_cell(const Verdict& verdict) {
  const char* sign = verdict.outcome == Outcome::wins    ? "\u25b2 "
                     : verdict.outcome == Outcome::loses ? "\u25bc "
                     : verdict.outcome == Outcome::alone ? ""
                                                         : "\u25c6 ";
  return cell(sign + verdict.brief);
}

}  // namespace

std::string overview(const Comparison& comparison) {
  std::string out =
      "<table class=\"words\">\n<caption>At a glance: the editor against all other methods. \u25b2 ahead of all, "
      "\u25c6 "
      "not clearly different from some, \u25bc behind some; by 95% intervals of the difference.</caption>\n<thead><tr>"
      "<th scope=\"col\">Requirement</th><th scope=\"col\">Networks</th><th scope=\"col\">By divergence</th>"
      "<th scope=\"col\">By accuracy</th><th scope=\"col\">Editor\u2019s time per network</th></tr></thead>\n<tbody>\n";
  for (std::size_t t = 0; t < comparison.tables.size(); ++t) {
    const ComparisonTable& table = comparison.tables[t];
    out += fmt::format("<tr><th scope=\"row\"><a href=\"#table-{}\">{}</a></th>{}{}{}{}</tr>\n", t + 1,
                       escaped(table.requirement), cell(fmt::format("{} ({})", table.networks, table.network.size())),
                       verdict_cell(verdict_of(table, true)), verdict_cell(verdict_of(table, false)),
                       cell(table.methods.empty() ? kNothing : duration(mean_seconds(table.methods.front()))));
  }
  return scrolling("At a glance", out + "</tbody>\n</table>\n");
}

std::string method_table(const ComparisonTable& table, std::size_t number) {
  const std::string caption = fmt::format("Table {}.1. Methods", number);
  std::string out = fmt::format(
      "<table>\n<caption><b>{}.</b> Means over {} networks with 95% bootstrap intervals. Lead: the editor's "
      "hypervolume "
      "minus the method's, paired over networks. Wins: networks where the editor's is larger.</caption>\n<thead>\n<tr>"
      "<th scope=\"col\" rowspan=\"2\">Method</th><th scope=\"colgroup\" colspan=\"3\">By divergence</th>"
      "<th scope=\"colgroup\" colspan=\"3\">By accuracy</th><th scope=\"col\" rowspan=\"2\">Milliseconds per "
      "network</th><th scope=\"col\" rowspan=\"2\" class=\"text\">Tuned</th></tr>\n<tr>",
      caption, table.network.size());
  for (int measure = 0; measure < 2; ++measure)
    out +=
        "<th scope=\"col\">hypervolume</th><th scope=\"col\">editor\u2019s lead</th><th scope=\"col\">editor "
        "wins</th>";
  out += "</tr>\n</thead>\n<tbody>\n";
  for (std::size_t m = 0; m < table.methods.size(); ++m) {
    const ComparedMethod& method = table.methods[m];
    out += fmt::format("<tr{}><th scope=\"row\">{} <small>{}</small></th>{}{}{}<td class=\"text\">{}</td></tr>\n",
                       m == 0 ? " class=\"own\"" : "", escaped(label_of(method)), escaped(words_of(method.kind)),
                       volume_cells(volume_of(method, true), m == 0), volume_cells(volume_of(method, false), m == 0),
                       cell(method.points.empty() ? kNothing : significant(1e3 * mean_seconds(method))),
                       method.tuned.empty() ? kNothing : escaped(method.tuned));
  }
  return scrolling(caption, out + "</tbody>\n</table>\n");
}

std::string setting_table(const ComparisonTable& table, const TableStatistics& statistics, std::size_t number) {
  const std::string caption = fmt::format("Table {}.2. Settings", number);
  std::string out = fmt::format(
      "<table class=\"compact\">\n<caption><b>{}.</b> Means over {} networks with 95% bootstrap intervals; "
      "requirement: {}.</caption>\n"
      "<thead><tr><th scope=\"col\">Setting</th><th scope=\"col\">Requirement</th><th scope=\"col\">Divergence, "
      "nats</th><th scope=\"col\">Accuracy lost, points</th><th scope=\"col\">Worst, points</th><th scope=\"col\" "
      "class=\"text\">Worst network</th><th scope=\"col\">Losing over 1 point</th></tr></thead>\n",
      caption, table.network.size(), escaped(table.axis));
  for (std::size_t m = 0; m < table.methods.size(); ++m) {
    out += fmt::format("<tbody{}>\n<tr><th scope=\"rowgroup\" colspan=\"7\">{}</th></tr>\n",
                       m == 0 ? " class=\"own\"" : "", escaped(label_of(table.methods[m])));
    if (statistics.points[m].empty()) out += "<tr><td colspan=\"7\" class=\"text\">no settings</td></tr>\n";
    for (std::size_t p = 0; p < statistics.points[m].size(); ++p) {
      const PointStatistics& point = statistics.points[m][p];
      out += fmt::format("<tr><th scope=\"row\">{}</th>{}{}{}{}<td class=\"text\">{}</td>{}</tr>\n",
                         escaped(table.methods[m].points[p].setting), cell(significant(point.requirement.mean)),
                         point.divergence ? cell(*point.divergence, 4) : cell(kNothing), cell(point.drop, 2),
                         cell(decimals(point.worst_drop, 2)), escaped(table.network[point.worst]),
                         cell(fmt::format("{} of {}", point.losing, table.network.size())));
    }
    out += "</tbody>\n";
  }
  return fmt::format("<details open=\"open\"><summary>All settings</summary>\n{}</details>\n",
                     scrolling(caption, out + "</table>\n"));
}

std::string specificity_table(const ComparisonTable& table, std::size_t number) {
  if (table.specificity.empty()) return {};
  std::string out = fmt::format(
      "<table>\n<caption><b>Table {}.3. Specificity.</b> Mean divergences in nats on validation rows. Where one edited "
      "network stands in for all as well as the own edits do, the editor only writes a standard network.</caption>\n"
      "<thead>\n<tr><th scope=\"col\">Setting</th><th scope=\"col\">own edit</th><th scope=\"col\">edits of others</th>"
      "<th scope=\"col\">one edit for all</th><th scope=\"col\">edits among themselves</th><th scope=\"col\">originals "
      "among themselves</th><th scope=\"col\">different masks</th></tr>\n</thead>\n<tbody>\n",
      number);
  for (const ComparedSpecificity& row : table.specificity) {
    out += "<tr><th scope=\"row\">" + escaped(row.setting) + "</th>";
    for (const double value : {row.own, row.cross, row.canonical, row.among_edited, row.among_originals})
      out += cell(decimals(value, 4));
    out += cell(fmt::format("{} of {}", row.masks, table.network.size())) + "</tr>\n";
  }
  return scrolling(fmt::format("Specificity, table {}", number), out + "</tbody>\n</table>\n");
}

std::string joint_table(const Comparison& comparison) {
  std::string out =
      "<table>\n<caption>Means over the held-out networks. Objective: divergence plus every requirement times its "
      "weight, "
      "measured on the delivered networks; smaller is better. Behind: how much more that is than for the first way, "
      "with "
      "95% intervals, paired over networks.</caption>\n<thead>\n<tr><th scope=\"col\">Strengths</th><th scope=\"col\">"
      "Way</th><th scope=\"col\">objective</th><th scope=\"col\">behind</th><th scope=\"col\">weights</th>"
      "<th scope=\"col\">features</th><th scope=\"col\">gap</th><th scope=\"col\">divergence</th><th scope=\"col\">"
      "points lost</th><th scope=\"col\">ms</th></tr>\n</thead>\n<tbody>\n";
  const std::string* setting = nullptr;
  for (const ComparedJoint& row : comparison.joint) {
    const bool first = !setting || *setting != row.setting;
    setting = &row.setting;
    out += fmt::format("<tr{}><th scope=\"row\">{}</th>{}{}{}{}{}{}{}{}{}</tr>\n", first ? " class=\"own\"" : "",
                       escaped(row.setting), cell(row.method), cell(row.objective, 4),
                       first ? cell(kNothing) : cell(row.lead, 4), cell(decimals(100.0 * row.nonzero_share, 1) + "%"),
                       cell(decimals(row.features, 1)), cell(row.gap ? decimals(*row.gap, 3) : kNothing),
                       cell(decimals(row.divergence, 4)), cell(decimals(row.accuracy_drop, 2)),
                       cell(significant(1e3 * row.seconds)));
  }
  return scrolling("Several requirements at once", out + "</tbody>\n</table>\n");
}

}  // namespace amend::page
