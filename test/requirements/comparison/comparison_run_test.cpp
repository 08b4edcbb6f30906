// The whole comparison in one process, every method once: under the sanitizers it reads and writes what it may.
#include "requirements/comparison/comparison_run.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "engine/error.hpp"
#include "metanet/data/population.hpp"
#include "metanet/train/editor_trainer.hpp"
#include "metanet/train/population_trainer.hpp"
#include "requirements/comparison/contender.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"

namespace amend::test {
namespace {

constexpr char kPopulation[] = R"(dataset: data.yaml
networks: 10
split: {train: 0.4, validation: 0.2, test: 0.4}
widths: [5]
epochs: [1, 2]
min_steps: 10
)";
constexpr char kEditor[] = R"(requirements: {pruning: {}, data_minimisation: {}, equalised_odds: {}}
editor: {node_width: 4, edge_width: 4, messages: 0, passes: 2, refine_width: 4}
training: {steps: 4, batch: 2, rows: 16, cell_rows: 4, probe_rows: 16, probe_cell_rows: 4, edit_probe_rows: 20,
           edit_probe_cell_rows: 5, warmup: 2, validations: 1, validation_rows: 20}
)";
constexpr char kCompare[] = R"(population: pop
networks: 2
requirements:
  pruning: {editors: {editor: editor.safetensors}, strengths: 2, budgets: [0.3]}
  data_minimisation: {editors: {editor: editor.safetensors}, strengths: 2, budgets: [2]}
  equalised_odds: {editors: {editor: editor.safetensors}, strengths: 2}
fine_tuning: {epochs: [0.05], rows: 16, learning_rates: [0.001, 0.01], tuning_networks: 2}
retraining: {epochs: 0.05}
polish: [2]
canonical: {candidates: 2}
shifts: [{name: office workers, feature: sector, levels: [office]}]
joint:
  combined: editor.safetensors
  sequence: {pruning: editor.safetensors, equalised_odds: editor.safetensors}
  strengths: [{pruning: 0.5, equalised_odds: 0.5}]
)";

struct Project {
  TemporaryFolder folder;

  Project() {
    write_bytes(folder / "data.yaml", "name: tiny\nsynthetic: {rows: 3000, seed: 3}\n");
    write_bytes(folder / "population.yaml", kPopulation);
    const Dataset dataset = load_dataset(folder / "data.yaml");
    const Population population = train_population(load_population_config(folder / "population.yaml"), dataset);
    save_population(population, folder / "pop");
    save_editor(train_editor(parse_editor_config(kEditor, "editor.yaml"), population, dataset, make_requirements, {}),
                folder / "editor.safetensors");
  }

  ComparisonConfig config() const { return parse_comparison_config(kCompare, "compare.yaml", folder.path()); }
};

TEST_CASE("every method of every requirement is measured on every network, at every setting") {
  const Project project;
  const Comparison comparison = compare(project.config());
  REQUIRE(comparison.tables.size() == 6);  // on all rows and on office workers
  for (const ComparisonTable& table : comparison.tables) {
    std::set<std::string> names;
    for (const ComparedMethod& method : table.methods) {
      CAPTURE(table.requirement, table.networks, method.name);
      CHECK(names.insert(method.name).second);
      CHECK_FALSE(method.points.empty());
      CHECK(method.tuned.empty() == !(method.kind == MethodKind::polished || method.kind == MethodKind::fine_tuned ||
                                      method.kind == MethodKind::retrained));
      for (const ComparedPoint& point : method.points) {
        REQUIRE(point.network.size() == 2);
        for (const ComparedNetwork& network : point.network) {
          CHECK(network.requirement >= 0.0);
          if (network.divergence) CHECK((*network.divergence >= 0.0 && *network.divergence <= 0.7));
        }
      }
      CHECK(method.accuracy_volume.network.size() == 2);
    }
    const bool budgets = table.requirement != "equalised_odds";
    CHECK(names.contains("editor"));
    CHECK(names.contains("editor_budget") == budgets);
    CHECK(names.contains(budgets ? "editor_budget_2_steps" : "editor_2_steps"));
    CHECK(names.contains("canonical"));
    // A baseline that is tuned has a name for every number of epochs and every target.
    for (std::string name : baseline_names(table.requirement)) {
      const std::string stem = name.substr(0, name.rfind("_tuned"));
      CAPTURE(table.requirement, name);
      CHECK(std::any_of(names.begin(), names.end(), [&](const std::string& n) { return n.starts_with(stem); }));
    }
  }
  CHECK(comparison.joint.size() == 3);
}

TEST_CASE("networks on other data than the editor's are refused") {
  const Project project;
  write_bytes(project.folder / "other.yaml", "name: other\nsynthetic: {rows: 900, seed: 4}\n");
  ComparisonConfig config = project.config();
  config.data = project.folder / "other.yaml";
  CHECK_THAT(input_error([&] { compare(config); }), Catch::Contains("pop") && Catch::Contains("`other`"));
}

}  // namespace
}  // namespace amend::test
