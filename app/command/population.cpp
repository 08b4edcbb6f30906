#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "app/command/commands.hpp"
#include "app/compute_options.hpp"
#include "app/inputs.hpp"
#include "app/population_summary.hpp"
#include "engine/error.hpp"
#include "metanet/train/population_config.hpp"
#include "metanet/train/population_trainer.hpp"

namespace amend {
namespace {

constexpr char kPopulationFooter[] = R"(Examples:
  amend population train configs/population_synthetic.yaml --out synthetic-networks
  amend population train configs/population_adult_diverse.yaml --out adult-networks --threads 4)";

struct PopulationCommand {
  std::string config, out;
  bool force = false, json = false;
  ComputeOptions compute;
};

int train(const PopulationCommand& options, const Session& session) {
  const ThreadScope threads(options.compute);
  const Device device = options.compute.parsed();
  const PopulationConfig config = load_population_config(options.config);
  check_not_read(options.out, {options.config, config.dataset});
  check_output_population(options.out, options.force);
  const Dataset dataset = load_dataset(config.dataset);
  check_not_read(options.out, dataset.files);

  const auto start = std::chrono::steady_clock::now();
  const Population population = train_population(
      config, dataset, {.progress = session.progress, .threads = options.compute.threads, .device = device});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  save_population(population, options.out);

  if (options.json) {
    nlohmann::ordered_json json = population_json(population);
    json["seconds"] = seconds.count();
    json["folder"] = options.out;
    session.print(json);
  } else {
    session.out << population_text(population)
                << fmt::format("trained in {:.1f} s, written to {}\n", seconds.count(), options.out);
  }
  return 0;
}

}  // namespace

void add_population_command(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("population", "Train populations of networks that editors learn from");
  group.require_subcommand(1);
  CLI::App& command = *group.add_subcommand("train", "Train the networks that a configuration describes");
  command.footer(kPopulationFooter);
  auto options = std::make_shared<PopulationCommand>();
  command.add_option("CONFIG", options->config, "Configuration (YAML); docs/population.md has its keys")->required();
  command.add_option("--out", options->out, "Folder to write the population to")->required();
  command.add_flag("--force", options->force, "Replace a population that is already there");
  command.add_flag("--json", options->json, "Print the result as JSON");
  options->compute.add_to(command);
  command.callback([options, &session] { session.action = [options, &session] { return train(*options, session); }; });
}

}  // namespace amend
