#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>

#include "app/command/commands.hpp"
#include "app/command_line.hpp"
#include "app/compute_options.hpp"
#include "app/condition.hpp"
#include "app/embedded_configs.hpp"
#include "app/inputs.hpp"
#include "engine/out_of_memory.hpp"
#include "metanet/graph/predict.hpp"
#include "metanet/train/budgeted_edit.hpp"
#include "metanet/train/interrupt.hpp"
#include "metanet/train/polish.hpp"
#include "metanet/train/streamed_edit.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

constexpr char kEditFooter[] =
    R"(Strengths go from 0 (off) to 1 (the strongest the editor was trained for); a requirement that is not named is off.
A budget says what to keep instead: a share of the weights (pruning), or a number of features (data_minimisation).
INPUT is a population folder, or your own model: a .safetensors file with PyTorch's names. Layer order and
activation come from --model, --activation, model.yaml beside model.safetensors, or the file's metadata.

Examples:
  amend edit synthetic-networks --editor editor.safetensors --condition pruning=0.6,equalised_odds=0.5 \
    --split test --out edited
  amend edit model.safetensors --editor editor.safetensors --condition pruning=0.3 --out smaller.safetensors
  amend edit model.safetensors --editor editor.safetensors --lambda pruning=0.02 --out smaller.safetensors
  amend edit model.safetensors --editor editor.safetensors --budget data_minimisation=4 --out smaller.safetensors
  amend edit adult-networks --editor pruning.safetensors --budget pruning=0.05 --polish 100 --out polished)";

struct EditCommand {
  std::string input, editor, out, data, split = "all";
  std::vector<std::string> condition, lambda, budget;
  ModelDescription model;
  std::string precision;
  int batch = 64;
  std::int64_t polish = 0, probe_rows = 0;
  bool force = false, json = false;
  ComputeOptions compute;
};

/// An editor that is ready, and what it is asked for.
struct Work {
  TrainedEditor editor;
  EditCondition condition;
  Dataset dataset;
  std::string checksum;

  /// The record of the edit that goes with every edited network.
  nlohmann::json record(const EditCommand& options) const {
    return {{"editor", options.editor},
            {"editor_sha256", checksum},
            {"condition", condition.strengths()},
            {"lambda", condition.lambdas()},
            {"budget", condition.budgets()},
            {"precision", to_string(editor.editor->shape().precision)},
            {"probe_rows", editor.config.edit_probe_rows},
            {"polish_steps", options.polish},
            {"version", version()}};
  }
};

/// The outline of what a population becomes: networks `chosen` and the record of their edit, no weights.
Population edited_outline(const Population& population, const std::vector<std::size_t>& chosen,
                          const EditCommand& options, const Work& work) {
  Population edited;
  edited.dataset_name = population.dataset_name;
  edited.dataset_source = work.dataset.source;
  edited.dataset_fingerprint = population.dataset_fingerprint;
  edited.provenance = population.provenance;
  for (const std::size_t n : chosen) {
    edited.networks.push_back(population.networks[n]);
    edited.split.push_back(population.split[n]);
    nlohmann::json attributes = population.attributes[n];
    nlohmann::json record = work.record(options);
    if (attributes.contains("edit")) record["before"] = attributes["edit"];  // edited once more
    attributes["edit"] = std::move(record);
    edited.attributes.push_back(std::move(attributes));
  }
  return edited;
}

/// An edit of a batch, polished when asked for, that says which batch would fit when this one does not.
std::vector<EditResult> edit_batch(const EditCommand& options, const Work& work, BatchEditor& editor,
                                   std::span<const SubjectNetwork* const> networks, std::span<const double> lambda) {
  try {
    std::vector<EditResult> edits =
        edit_to_budget(editor, work.editor, networks, lambda, work.condition.repeated_budget(networks.size()));
    if (options.polish > 0) polish(edits, networks, lambda, work.editor, work.dataset, options.polish);
    return edits;
  } catch (const OutOfMemory& error) {
    fail_input("--batch", error.what(), "; try --batch ",
               smaller_batch(static_cast<int>(networks.size()), editor.memory(), error));
  }
}

StreamedEdit edit_population(const EditCommand& options, Work& work) {
  const PopulationReader reader(options.input);
  const Population& population = reader.outline();
  if (population.dataset_fingerprint != work.dataset.fingerprint)
    fail_input(options.input, "holds networks on `", population.dataset_name, "` (fingerprint ",
               population.dataset_fingerprint.substr(0, 12), "), but ", options.editor, " edits networks on `",
               work.dataset.name, "` (", work.dataset.fingerprint.substr(0, 12), ")");
  const auto split = parse_population_split(options.split);
  std::vector<std::size_t> chosen;
  for (std::size_t n = 0; n < population.networks.size(); ++n)
    if (!split || population.split[n] == *split) chosen.push_back(n);
  if (chosen.empty()) fail_input(options.input, "has no networks in split `", options.split, "`");

  BatchEditor editor(work.editor, work.dataset);
  const Population outline = edited_outline(population, chosen, options, work);
  expect_fitting(pointers_to(outline.networks), work.dataset.inputs, work.dataset.classes);
  const InterruptScope interruptible;
  PopulationWriter writer(outline, options.out);
  StreamedEdit outcome = edit_streamed(
      reader, chosen, work.condition.repeated(chosen.size()), options.batch,
      [&](auto networks, auto lambda) { return edit_batch(options, work, editor, networks, lambda); }, writer);
  if (outcome.complete) writer.commit();
  return outcome;
}

StreamedEdit edit_model(const EditCommand& options, Work& work) {
  const ModelFile model = load_model(options.input, options.model);
  BatchEditor editor(work.editor, work.dataset);
  const SubjectNetwork* const network = &model.network;
  const auto start = std::chrono::steady_clock::now();
  const EditResult edited = edit_batch(options, work, editor, {&network, 1}, work.condition.lambda).front();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  save_model_file(options.out, model, edited.network,
                  {{"amend.edited_by", options.editor},
                   {"amend.editor_sha256", work.checksum},
                   {"amend.condition", work.condition.strengths().dump()},
                   {"amend.lambda", work.condition.lambdas().dump()},
                   {"amend.budget", work.condition.budgets().dump()},
                   {"amend.precision", to_string(work.editor.editor->shape().precision)},
                   {"amend.probe_rows", std::to_string(work.editor.config.edit_probe_rows)},
                   {"amend.polish_steps", std::to_string(options.polish)},
                   {"amend.dataset", work.dataset.source.string()},
                   {"amend.dataset_fingerprint", work.dataset.fingerprint},
                   {"amend.version", version()}});
  return {.edits = {{edited.network.name, edited.nonzero_share, edited.features}}, .seconds = seconds};
}

nlohmann::ordered_json outcome_json(const EditCommand& options, const Work& work, const StreamedEdit& outcome) {
  auto networks = nlohmann::ordered_json::array();
  for (const EditSummary& edit : outcome.edits)
    networks.push_back({{"name", edit.name}, {"nonzero_share", edit.nonzero_share}, {"features", edit.features}});
  return {{"condition", work.condition.strengths()},
          {"lambda", work.condition.lambdas()},
          {"budget", work.condition.budgets()},
          {"editor", options.editor},
          {"editor_sha256", work.checksum},
          {"probe_rows", work.editor.config.edit_probe_rows},
          {"polish_steps", options.polish},
          {"networks", std::move(networks)},
          {"seconds", outcome.seconds},
          {"out", options.out}};
}

std::string outcome_text(const EditCommand& options, const Work& work, const StreamedEdit& outcome) {
  const auto& results = outcome.edits;
  const auto count = static_cast<double>(results.size());
  double share = 0.0, features = 0.0;
  for (const EditSummary& result : results) {
    share += result.nonzero_share / count;
    features += static_cast<double>(result.features.size()) / count;
  }
  const auto less = [](const EditSummary& a, const EditSummary& b) { return a.nonzero_share < b.nonzero_share; };
  const auto [low, high] = std::minmax_element(results.begin(), results.end(), less);
  std::string out = fmt::format("edited {} network{} in {:.3f} s ({:.2f} ms each)\n", results.size(),
                                results.size() == 1 ? "" : "s", outcome.seconds, 1e3 * outcome.seconds / count);
  out += fmt::format("  condition         {}\n", work.condition.text());
  if (options.polish > 0) out += fmt::format("  polished          {} steps\n", options.polish);
  out += fmt::format("  non-zero weights  {:.1f}%", 100.0 * share);
  if (results.size() > 1)
    out += fmt::format(" ({:.1f} .. {:.1f})", 100.0 * low->nonzero_share, 100.0 * high->nonzero_share);
  out += fmt::format("\n  features left     {:.{}f} of {}", features, results.size() > 1 ? 1 : 0,
                     work.dataset.features.size());
  if (results.size() == 1) out += fmt::format(": {}", fmt::join(results.front().features, ", "));
  return out + fmt::format("\n  written to        {}\n", options.out);
}

/// The dataset whose rows an edit looks at: the editor's own; of an editor that transfers the one the networks are on.
Dataset load_edit_dataset(const EditCommand& options, InputKind kind, const TrainedEditor& editor) {
  const EditorDataset& own = editor.datasets.front();
  if (!editor.transfers())
    return load_referenced_dataset(options.data, {options.editor, own.name, own.source, own.fingerprint});
  if (kind == InputKind::population) {
    const PopulationReader reader(options.input);
    const Population& population = reader.outline();
    return load_referenced_dataset(options.data, {options.input, population.dataset_name, population.dataset_source,
                                                  population.dataset_fingerprint});
  }
  // A model does not say; where the editor knows one dataset alone, that is meant.
  if (options.data.empty() && editor.datasets.size() == 1)
    return load_referenced_dataset("", {options.editor, own.name, own.source, own.fingerprint});
  return load_referenced_dataset(options.data, {options.input, "", "", ""});
}

int edit(const EditCommand& options, const Session& session) {
  const ThreadScope threads(options.compute);
  const InputKind kind = kind_of(options.input);
  check_not_read(options.out, {options.input, options.editor, options.data, options.model.file,
                               kind == InputKind::safetensors ? description_beside(options.input) : fs::path()});
  if (kind == InputKind::population) {
    check_output_population(options.out, options.force);
  } else {
    check_safetensors_name(options.out);
    check_output_file(options.out, options.force);
  }

  Work work{.editor = load_editor(options.editor, make_requirements, options.compute.parsed())};
  if (!options.precision.empty()) work.editor.editor->set_precision(parse_precision(options.precision));
  if (options.probe_rows > 0) work.editor.probe_with(options.probe_rows);
  work.condition = parse_condition(work.editor, options.condition, options.lambda, options.budget);
  for (const std::string& warning : work.condition.warnings) session.say(warning);
  work.dataset = load_edit_dataset(options, kind, work.editor);
  check_not_read(options.out, work.dataset.files);
  work.checksum = file_checksum(options.editor);
  const StreamedEdit outcome =
      kind == InputKind::population ? edit_population(options, work) : edit_model(options, work);
  if (!outcome.complete) {
    session.say("interrupted; nothing was written to " + options.out);
    return kInterrupted;
  }
  if (options.json)
    session.print(outcome_json(options, work, outcome));
  else
    session.out << outcome_text(options, work, outcome);
  return 0;
}

}  // namespace

void add_edit_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("edit", "Edit a population or your own model with an editor");
  command.footer(kEditFooter);
  auto options = std::make_shared<EditCommand>();
  command.add_option("INPUT", options->input, "Population folder or .safetensors model")->required();
  command.add_option("--editor", options->editor, "Editor file")->required();
  command.add_option("--condition", options->condition, "Requirement=strength, ...: what the edit is for")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--lambda", options->lambda, "Requirement=weight, ...: the raw weight instead of a strength")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      .add_option("--budget", options->budget,
                  "Requirement=amount, ...: what to keep at most, a share of the weights or a number of features")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--out", options->out, "Where to write the result, of the same kind as INPUT")->required();
  command.add_option("--data", options->data,
                     "Dataset description; default: the editor's, or the population's when the editor transfers");
  command.add_option("--split", options->split, "Of a population: train, validation, test or all (default)");
  command.add_option("--batch", options->batch, "Networks edited at a time (64)")->check(CLI::Range(1, 65536));
  command
      .add_option("--polish", options->polish,
                  "Steps of fine-tuning after the edit, its zeros fixed: towards the original's predictions (0)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1000000}));
  command
      .add_option("--probe-rows", options->probe_rows,
                  "Rows that networks are probed on; default: the editor's own (1000). Fewer: faster, less good")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1000000}));
  command
      .add_option("--precision", options->precision,
                  "Of the products in message layers: float32, tf32 or bf16; default: the editor's own")
      ->check(CLI::IsMember(kPrecisions));
  command.add_option("--model", options->model.file, "YAML with `layers` and `activation` of a model");
  command.add_option("--activation", options->model.activation, "Of a model: relu, tanh, silu or sigmoid");
  command.add_flag("--force", options->force, "Replace what is already at --out");
  command.add_flag("--json", options->json, "Print the result as JSON");
  options->compute.add_to(command);
  command.callback([options, &session] { session.action = [options, &session] { return edit(*options, session); }; });
}

}  // namespace amend
