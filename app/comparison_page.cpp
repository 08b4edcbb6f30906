#include "app/comparison_page.hpp"

#include <fmt/format.h>

#include <vector>

#include "app/page/figures.hpp"
#include "app/page/html_text.hpp"
#include "app/page/style.hpp"
#include "app/page/tables.hpp"
#include "app/page/verdict.hpp"
#include "requirements/comparison/comparison_check.hpp"

namespace amend {
namespace page {
namespace {

std::string head(const std::string& title) {
  return fmt::format(
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\" xml:lang=\"en\">\n<head>\n"
      "<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      // Whatever a name may hold, nothing is fetched.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\"/>\n<link rel=\"icon\" href=\"data:,\"/>\n<title>{}</title>\n"
      "<style>{}</style>\n</head>\n",
      escaped(title), kStyle);
}

constexpr const char* kHowToRead =
    "<h2 id=\"reading\">How to read this</h2>\n"
    "<p>Every method makes a front: what its networks lose as the requirement becomes stricter; on both axes smaller "
    "is "
    "better. The hypervolume is the share of the rectangle between (0, 0) and the useless corner (the unedited "
    "network\u2019s requirement, the loss of a useless network) that the front dominates: 1 is perfect, 0 useless. A "
    "network is useless when it always gives the mean prediction of its original (divergence) or loses five points of "
    "accuracy.</p>\n";

std::string capitalised(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') text.front() = static_cast<char>(text.front() - 32);
  return text;
}

std::string sentence_of_worst(const ComparisonTable& table, const PointStatistics& strongest) {
  return fmt::format(
      "At its strongest setting the editor makes {} of {} networks lose more than one point of accuracy; {} loses "
      "most, "
      "{} points.",
      strongest.losing, table.network.size(), table.network[strongest.worst], decimals(strongest.worst_drop, 2));
}

/// How long the editor takes, and the method with the largest volume of the others.
std::string sentence_of_time(const ComparisonTable& table) {
  const bool divergence = by_divergence(table);
  const ComparedMethod* best = nullptr;
  for (std::size_t m = 1; m < table.methods.size(); ++m) {
    const ComparedVolume* volume = volume_of(table.methods[m], divergence);
    if (volume && (!best || volume->volume.mean > volume_of(*best, divergence)->volume.mean)) best = &table.methods[m];
  }
  const std::string own = duration(mean_seconds(table.methods.front()));
  if (!best) return fmt::format("The editor takes {} per network.", own);
  return fmt::format("The editor takes {} per network, \u201c{}\u201d (the best of the others) {}.", own,
                     label_of(*best), duration(mean_seconds(*best)));
}

std::string section(const ComparisonTable& table, std::size_t number) {
  std::string out = fmt::format(
      "<section id=\"table-{0}\" aria-labelledby=\"heading-{0}\">\n<h2 id=\"heading-{0}\">{0}. {1} "
      "<small>on {2} networks: {3}</small></h2>\n",
      number, escaped(capitalised(table.requirement)), table.network.size(), escaped(table.networks));
  if (table.methods.empty() || table.network.empty())
    return out + "<p>Nothing was measured for this table.</p>\n</section>\n";
  const TableStatistics statistics = statistics_of(table);
  out += fmt::format("<p class=\"verdict\">{}</p>\n", escaped(verdict_of(table, by_divergence(table)).sentence));
  std::vector<std::string> more;
  if (by_divergence(table)) more.push_back(verdict_of(table, false).sentence);
  more.push_back(sentence_of_time(table));
  if (!statistics.points.front().empty()) more.push_back(sentence_of_worst(table, statistics.points.front().back()));
  more.push_back(fmt::format("Requirement: {}, smaller is better; the unedited networks have {} on average.",
                             table.axis, significant(statistics.unedited)));
  out += "<ul class=\"more\">\n";
  for (const std::string& sentence : more) out += fmt::format("<li>{}</li>\n", escaped(sentence));
  out += "</ul>\n";
  out += figures_of(table, statistics, number);
  out += "<h3>Numbers</h3>\n" + method_table(table, number) + setting_table(table, statistics, number) +
         specificity_table(table, number);
  return out + "</section>\n";
}

std::string facts(const Comparison& comparison) {
  std::string out = "<dl>\n";
  const auto fact = [&](const char* name, const std::string& value) {
    if (!value.empty()) out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, value);
  };
  fact("Data", fmt::format("{}, {} audit rows", escaped(comparison.dataset), comparison.rows));
  fact("Hardware", escaped(comparison.hardware));
  fact("amend", escaped(comparison.version));
  if (!comparison.command.empty()) fact("Command", "<code>" + escaped(comparison.command) + "</code>");
  return out + "</dl>\n";
}

}  // namespace
}  // namespace page

std::string comparison_page(const Comparison& comparison) {
  check_comparison(comparison, "comparison_page");
  const std::string title = comparison.title.empty() ? "Comparison" : comparison.title;
  std::string out = page::head(title);
  out += fmt::format("<body>\n<main>\n<header>\n<h1>{}</h1>\n{}</header>\n", page::escaped(title),
                     page::facts(comparison));
  out += "<section aria-labelledby=\"reading\">\n" + std::string(page::kHowToRead);
  out += comparison.tables.empty() ? "<p>This comparison holds no tables.</p>\n" : page::overview(comparison);
  out += "</section>\n";
  for (std::size_t t = 0; t < comparison.tables.size(); ++t) out += page::section(comparison.tables[t], t + 1);
  if (!comparison.joint.empty())
    out += "<section aria-labelledby=\"joint\">\n<h2 id=\"joint\">Several requirements at once</h2>\n" +
           page::joint_table(comparison) + "</section>\n";
  return out + fmt::format("</main>\n<script>{}</script>\n</body>\n</html>\n", page::kScript);
}

}  // namespace amend
