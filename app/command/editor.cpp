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

constexpr char kEditorFooter[] =
    R"(While it trains, FILE.checkpoint holds what it has learned; it is removed when FILE is written. After an
interruption the same command with --resume continues, to the same bits as without one. Ctrl-C writes the checkpoint
and ends with exit code 130; pressed twice, it ends at once.

Examples:
  amend editor train configs/editor_synthetic.yaml --population synthetic-networks --out editor.safetensors
  amend editor train configs/editor_adult_pruning.yaml --population adult-networks --out pruning.safetensors
  amend editor train configs/editor_adult_pruning.yaml --population adult-networks --out pruning.safetensors --resume
  amend editor train configs/editor_transfer_pruning.yaml --population bank-networks --population german-networks \
    --out pruning.safetensors)";

struct EditorCommand {
  std::string config, out;
  std::vector<std::string> populations, data;
  bool resume = false, force = false, json = false, verbose = false;
  std::int64_t stop_after = 0;
  ComputeOptions compute;
};

/// A checkpoint is hours of work: it is neither overwritten nor picked up unasked.
void check_checkpoint(const fs::path& checkpoint, const EditorCommand& options) {
  std::error_code error;
  const bool exists = fs::exists(checkpoint, error);
  if (options.resume && !exists) fail_input(checkpoint.string(), "no checkpoint to resume from");
  if (!options.resume && exists && !options.force)
    fail_input(checkpoint.string(),
               "left by a training that did not end; continue it with --resume, or start again "
               "with --force");
}

/// The datasets of the populations: those recorded, or those given with --data in the same order.
std::vector<Dataset> load_datasets(const EditorCommand& options, const std::vector<Population>& populations) {
  if (!options.data.empty() && options.data.size() != populations.size())
    fail_input("--data", "expected one description for each of ", populations.size(),
               " populations, in their order, or none, got ", options.data.size());
  std::vector<Dataset> datasets;
  for (std::size_t p = 0; p < populations.size(); ++p) {
    const Population& population = populations[p];
    datasets.push_back(load_referenced_dataset(
        options.data.empty() ? "" : options.data[p],
        {options.populations[p], population.dataset_name, population.dataset_source, population.dataset_fingerprint}));
  }
  return datasets;
}

int train(const EditorCommand& options, const Session& session) {
  const ThreadScope threads(options.compute);
  const Device device = options.compute.parsed();
  const EditorConfig config = load_editor_config(options.config);
  make_requirements(config.shape.requirements, config.file.string() + ": requirements");
  const fs::path checkpoint = options.out + ".checkpoint";
  check_safetensors_name(options.out);
  std::vector<fs::path> inputs{options.config};
  inputs.insert(inputs.end(), options.populations.begin(), options.populations.end());
  inputs.insert(inputs.end(), options.data.begin(), options.data.end());
  for (const fs::path& output : {fs::path(options.out), checkpoint}) check_not_read(output, inputs);
  check_output_file(options.out, options.force);
  check_checkpoint(checkpoint, options);
  std::vector<Population> populations;
  for (const std::string& folder : options.populations) populations.push_back(load_population(folder));
  const std::vector<Dataset> datasets = load_datasets(options, populations);
  std::vector<EditorSource> sources;
  for (std::size_t p = 0; p < populations.size(); ++p) {
    sources.push_back({&populations[p], &datasets[p]});
    for (const fs::path& output : {fs::path(options.out), checkpoint}) check_not_read(output, datasets[p].files);
  }

  const auto start = std::chrono::steady_clock::now();
  const InterruptScope scope;
  const TrainedEditor trained = train_editor(config, sources, make_requirements,
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
  CLI::App& group = *app.add_subcommand("editor", "Train editors on populations");
  group.require_subcommand(1);
  CLI::App& command = *group.add_subcommand("train", "Train the editor that a configuration describes");
  command.footer(kEditorFooter);
  auto options = std::make_shared<EditorCommand>();
  command.add_option("CONFIG", options->config, "Configuration (YAML); docs/training.md has its keys")->required();
  command
      .add_option("--population", options->populations,
                  "Population folder to learn from; several, each after an option of its own, with\n"
                  "`editor.input_embedding: false`")
      ->required()
      ->allow_extra_args(false);
  command.add_option("--out", options->out, "Editor file to write (.safetensors)")->required();
  command
      .add_option("--data", options->data,
                  "Dataset description, one for each population; default: those the populations were trained with")
      ->allow_extra_args(false);
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
