#include "requirements/comparison/comparison_csv.hpp"

#include <fmt/format.h>

#include "requirements/comparison/comparison_check.hpp"

namespace amend {
namespace {

constexpr const char* kHeader =
    "dataset,requirement,networks,method,title,kind,tuned,setting,seconds,network,value,divergence,accuracy_drop,"
    "unedited,accuracy,constant_divergence,useless_drop\n";

std::string cell(const std::string& text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  const bool blank_end = !text.empty() && (blank(text.front()) || blank(text.back()));
  if (!blank_end && text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace

std::string comparison_csv(const Comparison& comparison) {
  check_comparison(comparison, "comparison_csv");
  std::string out = kHeader;
  for (const ComparisonTable& table : comparison.tables) {
    const std::string which =
        fmt::format("{},{},{}", cell(comparison.dataset), cell(table.requirement), cell(table.networks));
    for (const ComparedMethod& method : table.methods)
      for (const ComparedPoint& point : method.points) {
        const std::string setting =
            fmt::format("{},{},{},{},{},{},{}", which, cell(method.name), cell(method.title), to_string(method.kind),
                        cell(method.tuned), cell(point.setting), point.seconds);
        for (std::size_t n = 0; n < table.network.size(); ++n) {
          const ComparedNetwork& network = point.network[n];
          out += fmt::format("{},{},{},{},{},{},{},{},{}\n", setting, cell(table.network[n]), network.requirement,
                             network.divergence ? fmt::format("{}", *network.divergence) : std::string(),
                             network.accuracy_drop, table.unedited[n], table.accuracy[n], table.constant_divergence[n],
                             table.useless_drop[n]);
        }
      }
  }
  return out;
}

}  // namespace amend
