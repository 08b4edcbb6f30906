#include "app/population_summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "metanet/data/json_reader.hpp"
#include "requirements/metric/sparsity.hpp"

namespace amend {
namespace {

using Json = nlohmann::ordered_json;

/// Accuracy on validation rows as it was measured after training.
std::optional<double> trained_accuracy(const nlohmann::json& attributes) {
  if (!attributes.is_object() || !attributes.contains("training")) return std::nullopt;
  const nlohmann::json& training = attributes["training"];
  if (!training.is_object()) return std::nullopt;
  const auto found = training.find("validation_accuracy");
  return found != training.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

struct SplitSummary {
  int networks = 0;
  std::vector<double> accuracy, nonzero;
};

double mean(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

std::string range_text(const std::vector<double>& shares) {
  if (shares.empty()) return "-";
  const auto [low, high] = std::minmax_element(shares.begin(), shares.end());
  return fmt::format("{:.1f}% ({:.1f} .. {:.1f})", 100.0 * mean(shares), 100.0 * *low, 100.0 * *high);
}

/// Conditions of the edits that were applied, each once.
std::set<std::string> edits(const Population& population) {
  std::set<std::string> result;
  for (std::size_t n = 0; n < population.attributes.size(); ++n) {
    const nlohmann::json& attributes = population.attributes[n];
    if (!attributes.is_object() || !attributes.contains("edit")) continue;
    const std::string where = "manifest.json: network `" + population.networks[n].name + "`: edit";
    const nlohmann::json& edit = attributes["edit"];
    result.insert(json_text(edit, "editor", where) + " " + json_member(edit, "condition", where).dump());
  }
  return result;
}

}  // namespace

double nonzero_share(const SubjectNetwork& network) { return sparsity(network).nonzero_share; }

std::string widths_text(const SubjectNetwork& network) { return fmt::format("{}", fmt::join(network.widths, "-")); }

std::string population_text(const Population& population) {
  std::map<PopulationSplit, SplitSummary> splits;
  std::map<std::string, int> shapes;
  for (std::size_t n = 0; n < population.networks.size(); ++n) {
    SplitSummary& split = splits[population.split[n]];
    ++split.networks;
    if (const auto accuracy = trained_accuracy(population.attributes[n])) split.accuracy.push_back(*accuracy);
    split.nonzero.push_back(nonzero_share(population.networks[n]));
    ++shapes[widths_text(population.networks[n]) + " " + to_string(population.networks[n].activation)];
  }
  const std::set<std::string> edit_list = edits(population);
  std::string out = fmt::format("population of {} networks on {} (fingerprint {}; described by {})\n",
                                population.networks.size(), population.dataset_name,
                                population.dataset_fingerprint.substr(0, 12), population.dataset_source.string());
  out += fmt::format("  {:<12}{:>9}  {:<24}{}\n", "split", "networks", "non-zero weights",
                     edit_list.empty() ? "validation accuracy" : "validation accuracy before editing");
  for (const auto& [split, summary] : splits)
    out += fmt::format("  {:<12}{:>9}  {:<24}{}\n", to_string(split), summary.networks, range_text(summary.nonzero),
                       range_text(summary.accuracy));
  constexpr std::size_t kShown = 8;
  std::vector<std::pair<std::string, int>> common(shapes.begin(), shapes.end());
  std::stable_sort(common.begin(), common.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  out += "  shapes:";
  for (std::size_t i = 0; i < std::min(common.size(), kShown); ++i)
    out += fmt::format("{} {} ({})", i ? "," : "", common[i].first, common[i].second);
  if (common.size() > kShown) out += fmt::format(" and {} more", common.size() - kShown);
  out += "\n";
  for (const std::string& edit : edit_list) out += "  edited by " + edit + "\n";
  return out;
}

Json population_json(const Population& population) {
  Json networks = Json::array();
  for (std::size_t n = 0; n < population.networks.size(); ++n) {
    const SubjectNetwork& network = population.networks[n];
    Json entry{{"name", network.name},
               {"run", network.run},
               {"split", to_string(population.split[n])},
               {"widths", network.widths},
               {"activation", to_string(network.activation)},
               {"weights", network.weight_count()},
               {"nonzero_share", nonzero_share(network)}};
    const auto accuracy = trained_accuracy(population.attributes[n]);
    entry["trained_accuracy"] = accuracy ? Json(*accuracy) : Json(nullptr);
    if (population.attributes[n].is_object() && population.attributes[n].contains("edit"))
      entry["edit"] = population.attributes[n]["edit"];
    networks.push_back(std::move(entry));
  }
  return {{"kind", "population"},
          {"dataset",
           {{"name", population.dataset_name},
            {"description", population.dataset_source.string()},
            {"fingerprint", population.dataset_fingerprint}}},
          {"networks", std::move(networks)},
          {"provenance", population.provenance}};
}

}  // namespace amend
