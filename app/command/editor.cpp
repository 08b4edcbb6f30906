#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "app/command/commands.hpp"
#include "app/command_line.hpp"
#include "app/compute_options.hpp"
#include "app/editor_summary.hpp"
#include "app/inputs.hpp"
#include "engine/error.hpp"
#include "metanet/train/editor_trainer.hpp"
#include "metanet/train/interrupt.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

constexpr char kFooter[] =
    R"(While it trains, FILE.checkpoint holds what it has learned; it is removed when FILE is written. After an
interruption the same command with --resume continues, to the same bits as without one. Ctrl-C writes the checkpoint
and ends with exit code 130; pressed twice, it ends at once.

Examples:
  amend editor train configs/editor_synthetic.yaml --population synthetic-networks --out editor.safetensors
  amend editor train configs/editor_adult_pruning.yaml --population adult-networks --out pruning.safetensors
  amend editor train configs/editor_adult_pruning.yaml --population adult-networks --out pruning.safetensors --resume)";

struct Options {
  std::string config, population, out, data;
  bool resume = false, force = false, json = false, verbose = false;
  std::int64_t stop_after = 0;
  ComputeOptions compute;
};

/// A checkpoint is hours of work: it is neither overwritten nor picked up unasked.
void check_checkpoint(const fs::path& checkpoint, const Options& options) {
  std::error_code error;
  const bool exists = fs::exists(checkpoint, error);
  if (options.resume && !exists) fail_input(checkpoint.string(), "no checkpoint to resume from");
  if (!options.resume && exists && !options.force)
    fail_input(checkpoint.string(),
               "left by a training that did not end; continue it with --resume, or start again "
               "with --force");
}

int train(const Options& options, const Session& session) {
  const ThreadScope threads(options.compute);
  const Device device = options.compute.parsed();
  const EditorConfig config = load_editor_config(options.config);
  make_requirements(config.shape.requirements, config.file.string() + ": requirements");
  const fs::path checkpoint = options.out + ".checkpoint";
  check_safetensors_name(options.out);
  for (const fs::path& output : {fs::path(options.out), checkpoint})
    check_not_read(output, {options.config, options.population, options.data});
  check_output_file(options.out, options.force);
  check_checkpoint(checkpoint, options);
  const Population population = load_population(options.population);
  const Dataset dataset = load_referenced_dataset(
      options.data,
      {options.population, population.dataset_name, population.dataset_source, population.dataset_fingerprint});

  for (const fs::path& output : {fs::path(options.out), checkpoint}) check_not_read(output, dataset.files);

  const auto start = std::chrono::steady_clock::now();
  const InterruptScope scope;
  const TrainedEditor trained = train_editor(config, population, dataset, make_requirements,
                                             {.progress = session.progress,
                                              .verbose = options.verbose,
                                              .checkpoint = checkpoint,
                                              .resume = options.resume,
                                              .stop_after = options.stop_after,
                                              .device = device});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (const auto steps = trained.provenance.at("steps").get<std::int64_t>(); steps < config.steps) {
    const bool stopped_by_user = interrupted();
    session.say(fmt::format("{} after step {} of {}; the same command with --resume continues from {}",
                            stopped_by_user ? "interrupted" : "stopped", steps, config.steps, checkpoint.string()));
    return stopped_by_user ? kInterrupted : 0;
  }
  save_editor(trained, options.out);
  std::error_code ignored;
  fs::remove(checkpoint, ignored);

  if (options.json) {
    nlohmann::ordered_json json = editor_json(trained);
    json["seconds"] = seconds.count();
    json["file"] = options.out;
    session.print(json);
  } else {
    session.out << editor_text(trained)
                << fmt::format("trained in {:.1f} s, written to {}\n", seconds.count(), options.out);
  }
  return 0;
}

}  // namespace

void add_editor_command(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("editor", "Train editors on a population");
  group.require_subcommand(1);
  CLI::App& command = *group.add_subcommand("train", "Train the editor that a configuration describes");
  command.footer(kFooter);
  auto options = std::make_shared<Options>();
  command.add_option("CONFIG", options->config, "Configuration (YAML); docs/training.md has its keys")->required();
  command.add_option("--population", options->population, "Population folder to learn from")->required();
  command.add_option("--out", options->out, "Editor file to write (.safetensors)")->required();
  command.add_option("--data", options->data, "Dataset description; default: the one the population was trained with");
  command.add_flag("--resume", options->resume, "Continue from FILE.checkpoint");
  command.add_option("--stop-after", options->stop_after, "Stop at this step and keep the checkpoint")
      ->check(CLI::PositiveNumber);
  command.add_flag("--force", options->force, "Replace an editor or a checkpoint that is already there");
  command.add_flag("--verbose", options->verbose, "A line on stderr per validation");
  command.add_flag("--json", options->json, "Print the result as JSON");
  options->compute.add_to(command);
  command.callback([options, &session] { session.action = [options, &session] { return train(*options, session); }; });
}

}  // namespace amend
