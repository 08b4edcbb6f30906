// pipeline_cost: how many operations it takes to make an editor, to edit with it, and to do without, and after how many
// edits the editor has paid for itself. Counted by the formulas of bench/cost.hpp from what the files record; nothing
// is run. Times are in the comparisons of `amend compare`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/cost.hpp"
#include "metanet/data/population_stream.hpp"
#include "metanet/train/batch_editor.hpp"
#include "metanet/train/fine_tuning.hpp"
#include "requirements/registry.hpp"

namespace amend::bench {
namespace {

struct Options {
  std::string population, editor, data;
  std::int64_t rows = 128, polish = 12;     // rows a step of fine-tuning, steps after an edit
  double fine_tuning = 3, retraining = 10;  // epochs
  bool json = false;
};

/// What the runs of a population cost together; a run that left snapshots is counted once, at its end.
double population_operations(const Population& population, const std::string& folder, double set) {
  std::map<std::string, double> of_run;
  for (std::size_t n = 0; n < population.networks.size(); ++n) {
    const nlohmann::json training = population.attributes[n].value("training", nlohmann::json::object());
    if (!training.contains("steps") || !training.contains("batch_size"))
      fail_input(folder, "network `", population.networks[n].name,
                 "`: expected `training` with `steps` and `batch_size`, as `amend population train` records them");
    const double steps = training.at("steps").get<double>() * training.value("trained", 1.0);
    const Cost step =
        population_step_cost(batch_size(population.networks[n].widths, 1, set), training.at("batch_size"));
    double& total = of_run[population.networks[n].run];
    total = std::max(total, steps * step.operations);
  }
  double sum = 0.0;
  for (const auto& [run, operations] : of_run) sum += operations;
  return sum;
}

/// Rows of a draw: random ones and, where requirements look at groups, as many of every (label, group).
double all_rows(double random_rows, double cell_rows, int groups) { return random_rows + cell_rows * 2 * groups; }

nlohmann::ordered_json count(const Options& options) {
  const PopulationReader reader(options.population);
  const Population& population = reader.outline();
  TrainedEditor trained = load_editor(options.editor, make_requirements, Device::cpu());
  const Dataset dataset =
      load_dataset(options.data.empty() ? trained.datasets.front().source : std::filesystem::path(options.data));
  if (population.dataset_fingerprint != dataset.fingerprint)
    fail_input(options.population, "expected networks on `", dataset.name, "`, as the editor edits, got networks on `",
               population.dataset_name, "`");
  const BatchEditor editor(trained, dataset);
  const EditorConfig& config = trained.config;
  const int groups = editor.probe_rows().groups;
  const bool features = trained.editor->gates().features;
  EditorSize size{.d = static_cast<double>(config.shape.edge_width),
                  .h = static_cast<double>(config.shape.node_width),
                  .refine = static_cast<double>(config.shape.refine_width),
                  .messages = config.shape.messages,
                  .passes = config.shape.passes};
  const double objectives = groups > 0 ? 2 : 1, network_count = static_cast<double>(population.networks.size());

  const std::vector<float>& input = dataset.editor_train.input;
  const double set = 1.0 - static_cast<double>(std::count(input.begin(), input.end(), 0.0f)) /
                               static_cast<double>(std::max<std::size_t>(input.size(), 1));
  double edit = 0, training = 0, step = 0;  // means over the networks
  for (const SubjectNetwork& network : population.networks) {
    const BatchSize one = batch_size(network.widths, 1, set);
    // Flips of every feature: all layers but the first, whose product they share.
    const auto flips = [&](double rows) {
      return features ? static_cast<double>(dataset.features.size()) * 2 * rows * (one.edges - one.first_edges) : 0.0;
    };
    const double probe = all_rows(static_cast<double>(config.edit_probe_rows),
                                  static_cast<double>(config.edit_probe_cell_rows), groups),
                 inner = all_rows(static_cast<double>(config.probe_rows), static_cast<double>(config.probe_cell_rows),
                                  groups),
                 loss = all_rows(static_cast<double>(config.rows), static_cast<double>(config.cell_rows), groups);
    edit += edit_cost(one, size, probe, objectives).operations + (size.passes + 1) * flips(probe);
    training += training_step_cost(one, size, loss, inner, objectives).operations + size.passes * flips(loss) +
                (size.passes - 1) * flips(inner);
    step += population_step_cost(one, static_cast<double>(options.rows)).operations +
            subject_forward_cost(one, static_cast<double>(options.rows), false).operations;  // of the original
  }
  edit /= network_count;
  training *= static_cast<double>(config.steps * config.batch) / network_count;
  step /= network_count;
  const auto epochs = [&](double number) {
    return step * static_cast<double>(steps_of(number, dataset.editor_train.count, options.rows));
  };
  const EditGates gates = trained.editor->gates();
  const double edits = gates.weights || gates.neurons ? 2 : 1;  // to a budget, where there are any
  const double trained_population = population_operations(population, options.population, set),
               made = trained_population + training, polish = static_cast<double>(options.polish) * step,
               saved = epochs(options.fine_tuning) - edits * edit - polish;
  return {{"population", trained_population},
          {"editor", training},
          {"edit", edit},
          {"edits", edits},
          {"polish", polish},
          {"fine_tuning", epochs(options.fine_tuning)},
          {"retraining", epochs(options.retraining)},
          {"pays_off_after", saved > 0 ? nlohmann::ordered_json(std::ceil(made / saved)) : nullptr}};
}

std::string text(const nlohmann::ordered_json& counted, const Options& options) {
  const auto row = [&](const std::string& title, const char* key) {
    return fmt::format("{:<44}{:>12.4g}\n", title, counted.at(key).get<double>() / 1e9);
  };
  std::string out = fmt::format("{:<44}{:>12}\n", "products", "GFLOP");
  out += row("training the population", "population") + row("training the editor", "editor");
  out += row("an edit", "edit");
  out += row(fmt::format("polish, {} steps", options.polish), "polish");
  out += row(fmt::format("fine-tuning, {:g} epochs", options.fine_tuning), "fine_tuning");
  out += row(fmt::format("retraining, {:g} epochs", options.retraining), "retraining");
  const std::string edit =
      counted.at("edits") == 2.0 ? "a budget of weights, two edits and their polish," : "an edit and its polish";
  const auto& networks = counted.at("pays_off_after");
  return out + (networks.is_null()
                    ? edit + " costs more than fine-tuning: the editor never pays off\n"
                    : fmt::format("held against fine-tuning, {} pays off population and editor after {:.0f} "
                                  "networks\n",
                                  edit, networks.get<double>()));
}

}  // namespace
}  // namespace amend::bench

int main(int argc, char** argv) {
  amend::bench::Options options;
  CLI::App app("Counts the operations of population, editor, edits, fine-tuning and retraining");
  app.add_option("--population", options.population, "Population folder")->required();
  app.add_option("--editor", options.editor, "Editor file that was trained on it")->required();
  app.add_option("--data", options.data, "Dataset description; default: the editor's");
  app.add_option("--rows", options.rows, "Rows a step of fine-tuning (128)")->check(CLI::Range(1, 1 << 20));
  app.add_option("--polish", options.polish, "Steps of fine-tuning after an edit (12)")->check(CLI::Range(0, 1 << 20));
  app.add_option("--epochs", options.fine_tuning, "Of fine-tuning without an edit (3)")->check(CLI::PositiveNumber);
  app.add_option("--retraining", options.retraining, "Epochs of retraining (10)")->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json, "Operations as JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    const nlohmann::ordered_json counted = amend::bench::count(options);
    std::cout << (options.json ? counted.dump(1) + "\n" : amend::bench::text(counted, options));
  } catch (const std::exception& error) {
    std::cerr << "pipeline_cost: " << error.what() << "\n";
    return 1;
  }
}
