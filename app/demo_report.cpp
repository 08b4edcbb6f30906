#include "app/demo_report.hpp"

#include <fmt/format.h>

#include "engine/error.hpp"

namespace amend {
namespace {

using Json = nlohmann::ordered_json;

/// What is within this of nothing is called nothing: half a point.
constexpr double kSlack = 0.005;

/// `loses 0.4 points`, `keeps` or `gains`: how accuracy changed, in words.
std::string accuracy_words(double from, double to) {
  const double points = 100.0 * (from - to);
  if (points >= 0.05) return fmt::format("for {:.1f} points of accuracy", points);
  return points <= -0.05 ? fmt::format("and are {:.1f} points more accurate", -points) : "at the same accuracy";
}

std::string line(const std::string& name, const std::string& strengths, const DemoMeasure& measure) {
  return fmt::format("  {:<30}{:>9}{:>10.1f}{:>12.1f}{:>14.4f}{:>12.3f}\n", name, strengths,
                     100.0 * measure.nonzero_share, 100.0 * measure.accuracy, measure.divergence, measure.gap);
}

Json json_of(const DemoMeasure& measure) {
  return {{"nonzero_share", measure.nonzero_share},
          {"accuracy", measure.accuracy},
          {"divergence", measure.divergence},
          {"equalised_odds_difference", measure.gap}};
}

}  // namespace

std::vector<DemoRow> demo_conditions() {
  return {{.pruning = 0.4}, {.pruning = 0.7}, {.pruning = 0.7, .fairness = 0.6}, {.pruning = 0.7, .fairness = 1.0}};
}

DemoVerdict verdict(const DemoReport& report) {
  check(!report.rows_edited.empty(), "demo", "nothing was edited");
  const DemoRow& fair = report.rows_edited.back();
  const DemoMeasure &before = report.original, &after = fair.edited, &baseline = fair.baseline;
  const DemoRow* alone = nullptr;  // pruning of the same strength without fairness
  for (const DemoRow& row : report.rows_edited)
    if (row.fairness == 0.0 && row.pruning == fair.pruning) alone = &row;
  const bool lighter = after.nonzero_share < before.nonzero_share - kSlack;
  const bool fairer = after.gap < before.gap - kSlack && after.gap < baseline.gap;
  const bool as_accurate = after.accuracy > baseline.accuracy - kSlack;
  const bool closer = alone && alone->edited.nonzero_share < before.nonzero_share - kSlack &&
                      alone->edited.divergence < alone->baseline.divergence;

  DemoVerdict result;
  result.improved = closer || (lighter && fairer && as_accurate);
  if (lighter && fairer && as_accurate)
    result.sentence = fmt::format(
        "In {:.1f} ms each, {} networks that the editor had never seen came to use {:.0f}% of their weights instead of "
        "{:.0f}%, and the gap between groups {} and {} shrank from {:.3f} to {:.3f}, {}; pruned to the same size the "
        "usual way they {} and the gap is {:.3f}.",
        report.edit_milliseconds, report.networks, 100.0 * after.nonzero_share, 100.0 * before.nonzero_share,
        report.groups.front(), report.groups.back(), before.gap, after.gap,
        accuracy_words(before.accuracy, after.accuracy),
        baseline.accuracy < before.accuracy - 5e-4
            ? fmt::format("lose {:.1f} points", 100.0 * (before.accuracy - baseline.accuracy))
            : std::string("keep their accuracy"),
        baseline.gap);
  else if (closer)
    result.sentence = fmt::format(
        "The edit did not make these networks fairer at an acceptable accuracy (gap {:.3f} before, {:.3f} after), but "
        "with {:.0f}% of their weights {} networks that the editor had never seen answer more like before than "
        "networks pruned to the same size the usual way: {:.4f} nats away instead of {:.4f}.",
        before.gap, after.gap, 100.0 * alone->edited.nonzero_share, report.networks, alone->edited.divergence,
        alone->baseline.divergence);
  else
    result.sentence = fmt::format(
        "The edit did not help: with {:.0f}% of their weights the networks have {:.1f}% accuracy and a gap of {:.3f}; "
        "pruned to the same size the usual way, {:.1f}% and {:.3f}.",
        100.0 * after.nonzero_share, 100.0 * after.accuracy, after.gap, 100.0 * baseline.accuracy, baseline.gap);
  return result;
}

std::string format_report(const DemoReport& report) {
  std::string out =
      fmt::format("{} held-out networks on {} held-out rows; means over networks\n\n", report.networks, report.rows);
  out += fmt::format("  {:<30}{:>9}{:>10}{:>12}{:>14}{:>12}\n", "", "strength", "weights %", "accuracy %",
                     "change, nats", "group gap");
  out += line("original", "", report.original);
  for (const DemoRow& row : report.rows_edited) {
    const bool fair = row.fairness > 0.0;
    out += "\n";
    out += line(fair ? "amend: pruning + fairness" : "amend: pruning",
                fair ? fmt::format("{:g}, {:g}", row.pruning, row.fairness) : fmt::format("{:g}", row.pruning),
                row.edited);
    out += line("OBD + fold, same size", "", row.baseline);
  }
  out += fmt::format(
      "\n  weights: those that are not zero. change: Jensen-Shannon divergence from the original's answers.\n"
      "  group gap: equalised odds difference between groups {} and {} (0 is fair).\n",
      report.groups.front(), report.groups.back());
  const double total = report.population_seconds + report.editor_seconds + report.audit_seconds;
  out += fmt::format(
      "\n{:.1f} s in all: {:.1f} s for the population, {:.1f} s for one editor ({} networks to learn from), {:.1f} s "
      "to edit and audit; an edit takes {:.1f} ms.\n\n",
      total, report.population_seconds, report.editor_seconds, report.trained_on, report.audit_seconds,
      report.edit_milliseconds);
  return out + verdict(report).sentence + "\n";
}

Json to_json(const DemoReport& report) {
  Json rows = Json::array();
  for (const DemoRow& row : report.rows_edited)
    rows.push_back({{"condition", {{"pruning", row.pruning}, {"equalised_odds", row.fairness}}},
                    {"edited", json_of(row.edited)},
                    {"baseline", json_of(row.baseline)}});
  const DemoVerdict judged = verdict(report);
  return {{"networks", report.networks},
          {"trained_on", report.trained_on},
          {"rows", report.rows},
          {"original", json_of(report.original)},
          {"edits", std::move(rows)},
          {"seconds",
           {{"population", report.population_seconds},
            {"editor", report.editor_seconds},
            {"audit", report.audit_seconds},
            {"edit_of_a_network", report.edit_milliseconds / 1e3}}},
          {"improved", judged.improved},
          {"sentence", judged.sentence}};
}

}  // namespace amend
