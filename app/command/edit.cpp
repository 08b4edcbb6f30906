#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>

#include "app/command/commands.hpp"
#include "app/compute_options.hpp"
#include "app/condition.hpp"
#include "app/embedded_configs.hpp"
#include "app/inputs.hpp"
#include "engine/out_of_memory.hpp"
#include "metanet/train/batch_editor.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

constexpr char kFooter[] =
    R"(Strengths go from 0 (off) to 1 (the strongest the editor was trained for); a requirement that is not named is off.
INPUT is a population folder, or your own model: a .safetensors file with PyTorch's names. Layer order and
activation come from --model, --activation, model.yaml beside model.safetensors, or the file's metadata.

Examples:
  amend edit synthetic-networks --editor editor.safetensors --condition pruning=0.6,equalised_odds=0.5 \
    --split test --out edited
  amend edit model.safetensors --editor editor.safetensors --condition pruning=0.3 --out smaller.safetensors
  amend edit model.safetensors --editor editor.safetensors --lambda pruning=0.02 --out smaller.safetensors)";

struct Options {
  std::string input, editor, out, data, split = "all";
  std::vector<std::string> condition, lambda;
  ModelDescription model;
  int batch = 64;
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
  nlohmann::json record(const Options& options) const {
    return {{"editor", options.editor},
            {"editor_sha256", checksum},
            {"condition", condition.strengths()},
            {"lambda", condition.lambdas()},
            {"version", version()}};
  }
};

struct Outcome {
  std::vector<EditResult> results;
  double seconds = 0.0;
};

Outcome edit_networks(Work& work, const std::vector<const SubjectNetwork*>& networks, int batch) {
  BatchEditor editor(work.editor, work.dataset);
  Outcome outcome;
  const auto start = std::chrono::steady_clock::now();
  try {
    outcome.results = editor.edit_all(networks, work.condition.repeated(networks.size()), batch);
  } catch (const OutOfMemory& error) {
    const int size = static_cast<int>(std::min(networks.size(), static_cast<std::size_t>(batch)));
    fail_input("--batch", error.what(), "; try --batch ", smaller_batch(size, editor.memory(), error));
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

Outcome edit_population(const Options& options, Work& work) {
  const Population population = load_population(options.input);
  if (population.dataset_fingerprint != work.editor.dataset_fingerprint)
    fail_input(options.input, "holds networks on `", population.dataset_name, "` (fingerprint ",
               population.dataset_fingerprint.substr(0, 12), "), but ", options.editor, " edits networks on `",
               work.editor.dataset_name, "` (", work.editor.dataset_fingerprint.substr(0, 12), ")");
  const auto split = parse_population_split(options.split);
  std::vector<const SubjectNetwork*> networks;
  std::vector<std::size_t> chosen;
  for (std::size_t n = 0; n < population.networks.size(); ++n) {
    if (split && population.split[n] != *split) continue;
    networks.push_back(&population.networks[n]);
    chosen.push_back(n);
  }
  if (networks.empty()) fail_input(options.input, "has no networks in split `", options.split, "`");
  Outcome outcome = edit_networks(work, networks, options.batch);

  Population edited;
  edited.dataset_name = population.dataset_name;
  edited.dataset_source = work.dataset.source;
  edited.dataset_fingerprint = population.dataset_fingerprint;
  edited.provenance = population.provenance;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    edited.networks.push_back(outcome.results[i].network);
    edited.split.push_back(population.split[chosen[i]]);
    nlohmann::json attributes = population.attributes[chosen[i]];
    nlohmann::json record = work.record(options);
    if (attributes.contains("edit")) record["before"] = attributes["edit"];  // edited once more
    attributes["edit"] = std::move(record);
    edited.attributes.push_back(std::move(attributes));
  }
  save_population(edited, options.out);
  return outcome;
}

Outcome edit_model(const Options& options, Work& work) {
  const ModelFile model = load_model(options.input, options.model);
  Outcome outcome = edit_networks(work, {&model.network}, options.batch);
  save_model_file(options.out, model, outcome.results.front().network,
                  {{"amend.edited_by", options.editor},
                   {"amend.editor_sha256", work.checksum},
                   {"amend.condition", work.condition.strengths().dump()},
                   {"amend.lambda", work.condition.lambdas().dump()},
                   {"amend.dataset", work.dataset.source.string()},
                   {"amend.dataset_fingerprint", work.dataset.fingerprint},
                   {"amend.version", version()}});
  return outcome;
}

nlohmann::ordered_json outcome_json(const Options& options, const Work& work, const Outcome& outcome) {
  auto networks = nlohmann::ordered_json::array();
  for (const EditResult& result : outcome.results)
    networks.push_back(
        {{"name", result.network.name}, {"nonzero_share", result.nonzero_share}, {"features", result.features}});
  return {{"condition", work.condition.strengths()},
          {"lambda", work.condition.lambdas()},
          {"editor", options.editor},
          {"editor_sha256", work.checksum},
          {"networks", std::move(networks)},
          {"seconds", outcome.seconds},
          {"out", options.out}};
}

std::string outcome_text(const Options& options, const Work& work, const Outcome& outcome) {
  const auto& results = outcome.results;
  const auto count = static_cast<double>(results.size());
  double share = 0.0, features = 0.0;
  for (const EditResult& result : results) {
    share += result.nonzero_share / count;
    features += static_cast<double>(result.features.size()) / count;
  }
  const auto less = [](const EditResult& a, const EditResult& b) { return a.nonzero_share < b.nonzero_share; };
  const auto [low, high] = std::minmax_element(results.begin(), results.end(), less);
  std::string out = fmt::format("edited {} network{} in {:.3f} s ({:.2f} ms each)\n", results.size(),
                                results.size() == 1 ? "" : "s", outcome.seconds, 1e3 * outcome.seconds / count);
  out += fmt::format("  condition         {}\n", work.condition.text());
  out += fmt::format("  non-zero weights  {:.1f}%", 100.0 * share);
  if (results.size() > 1)
    out += fmt::format(" ({:.1f} .. {:.1f})", 100.0 * low->nonzero_share, 100.0 * high->nonzero_share);
  out += fmt::format("\n  features left     {:.{}f} of {}", features, results.size() > 1 ? 1 : 0,
                     work.dataset.features.size());
  if (results.size() == 1) out += fmt::format(": {}", fmt::join(results.front().features, ", "));
  return out + fmt::format("\n  written to        {}\n", options.out);
}

int edit(const Options& options, const Session& session) {
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
  work.condition = parse_condition(work.editor, options.condition, options.lambda);
  for (const std::string& warning : work.condition.warnings) session.say(warning);
  work.dataset = load_referenced_dataset(options.data, {options.editor, work.editor.dataset_name,
                                                        work.editor.dataset_source, work.editor.dataset_fingerprint});
  check_not_read(options.out, work.dataset.files);
  work.checksum = file_checksum(options.editor);
  const Outcome outcome = kind == InputKind::population ? edit_population(options, work) : edit_model(options, work);
  if (options.json)
    session.print(outcome_json(options, work, outcome));
  else
    session.out << outcome_text(options, work, outcome);
  return 0;
}

}  // namespace

void add_edit_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("edit", "Edit a population or your own model with an editor");
  command.footer(kFooter);
  auto options = std::make_shared<Options>();
  command.add_option("INPUT", options->input, "Population folder or .safetensors model")->required();
  command.add_option("--editor", options->editor, "Editor file")->required();
  command.add_option("--condition", options->condition, "Requirement=strength, ...: what the edit is for")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--lambda", options->lambda, "Requirement=weight, ...: the raw weight instead of a strength")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--out", options->out, "Where to write the result, of the same kind as INPUT")->required();
  command.add_option("--data", options->data, "Dataset description; default: the one the editor was trained with");
  command.add_option("--split", options->split, "Of a population: train, validation, test or all (default)");
  command.add_option("--batch", options->batch, "Networks edited at a time (64)")->check(CLI::Range(1, 65536));
  command.add_option("--model", options->model.file, "YAML with `layers` and `activation` of a model");
  command.add_option("--activation", options->model.activation, "Of a model: relu, tanh, silu or sigmoid");
  command.add_flag("--force", options->force, "Replace what is already at --out");
  command.add_flag("--json", options->json, "Print the result as JSON");
  options->compute.add_to(command);
  command.callback([options, &session] { session.action = [options, &session] { return edit(*options, session); }; });
}

}  // namespace amend
