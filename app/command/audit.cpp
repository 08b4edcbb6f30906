#include "requirements/audit.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <set>

#include "app/command/commands.hpp"
#include "app/command_line.hpp"
#include "app/compute_options.hpp"
#include "app/inputs.hpp"
#include "engine/error.hpp"

namespace amend {
namespace {

constexpr char kFooter[] =
    R"(Limits hold for every network, or with --mean for the mean over them; they are held against point estimates.
Exit code 3 when one is not met, or cannot be shown to be met for lack of rows.

Examples:
  amend audit synthetic-networks edited
  amend audit model.safetensors smaller.safetensors --data configs/data/adult.yaml --sensitive sex
  amend audit adult-networks edited --sensitive sex,race --max-accuracy-drop 1 --max-equalised-odds 0.05 --mean)";

struct Options {
  std::string original, edited, data, split = "all", rows = "audit";
  std::vector<std::string> sensitive;
  ModelDescription model;
  AuditLimits limits;
  bool intersection = false, mean = false, json = false;
  std::int64_t minimum_rows = kMinimumRows;
  std::uint64_t seed = 1;
  ComputeOptions compute;
};

DataSplit parse_rows(const std::string& text) {
  for (const auto split : {DataSplit::audit, DataSplit::validation, DataSplit::editor_train, DataSplit::subject_train})
    if (text == to_string(split)) return split;
  fail_input("--rows", "expected audit, validation, editor_train or subject_train, got `", text, "`");
}

/// A single model as a population of one. Both models get one name, so that they match.
Population wrap(const ModelFile& model) {
  Population population;
  const auto& metadata = model.original.metadata;
  const auto value = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  population.dataset_source = value("amend.dataset");
  population.dataset_fingerprint = value("amend.dataset_fingerprint");
  population.dataset_name = population.dataset_source.stem().string();
  population.networks.push_back(model.network);
  population.networks.back().name = population.networks.back().run = "model";
  population.split.push_back(PopulationSplit::test);
  population.attributes.push_back(nlohmann::json::object());
  return population;
}

Population load(const std::string& path, InputKind kind, const Options& options) {
  return kind == InputKind::population ? load_population(path) : wrap(load_model(path, options.model));
}

/// Leaves out the networks that were not edited; returns how many.
std::size_t keep_edited(Population& original, const Population& edited) {
  std::set<std::string> names;
  for (const SubjectNetwork& network : edited.networks) names.insert(network.name);
  Population kept;
  for (std::size_t n = 0; n < original.networks.size(); ++n) {
    if (!names.contains(original.networks[n].name)) continue;
    kept.networks.push_back(std::move(original.networks[n]));
    kept.split.push_back(original.split[n]);
    kept.attributes.push_back(std::move(original.attributes[n]));
  }
  const std::size_t left_out = original.networks.size() - kept.networks.size();
  original.networks = std::move(kept.networks);
  original.split = std::move(kept.split);
  original.attributes = std::move(kept.attributes);
  return left_out;
}

/// The option of a limit, in its unit on the command line.
std::string limit_text(const Violation& violation) {
  std::string option = "--" + violation.limit;
  std::replace(option.begin(), option.end(), '_', '-');
  const double scale = violation.limit == "max_accuracy_drop" ? 100.0 : 1.0;
  std::string text = fmt::format("{} {:g}: {}", option, scale * violation.bound, violation.subject);
  if (!violation.grouping.empty()) text += " over " + violation.grouping;
  text += violation.value ? fmt::format(" has {:.4g}", scale * *violation.value) : std::string(" has no estimate");
  if (!violation.note.empty()) text += " (" + violation.note + ")";
  return text;
}

void list_violations(const AuditReport& report, const Session& session) {
  constexpr int kShown = 5;  // of every limit
  std::map<std::string, int> count;
  for (const Violation& violation : report.violations)
    if (++count[violation.limit] <= kShown) session.say("limit not met: " + limit_text(violation));
  for (const auto& [limit, broken] : count)
    if (broken > kShown) session.say(fmt::format("limit not met: {}: and {} more", limit, broken - kShown));
}

int run_audit(const Options& options, const Session& session) {
  const ThreadScope threads(options.compute);
  options.compute.parsed();  // audits run on the CPU; a device that does not exist is still a mistake
  AuditOptions audit_options{.split = parse_rows(options.rows),
                             .networks = parse_population_split(options.split),
                             .attributes = options.sensitive,
                             .intersection = options.intersection,
                             .minimum_rows = options.minimum_rows,
                             .limits = options.limits,
                             .scope = options.mean ? LimitScope::population_mean : LimitScope::every_network,
                             .seed = options.seed};
  if (audit_options.limits.max_accuracy_drop) *audit_options.limits.max_accuracy_drop /= 100.0;  // points to shares

  const InputKind original_kind = kind_of(options.original), edited_kind = kind_of(options.edited);
  if (original_kind != edited_kind)
    fail_input(options.edited, "expected two populations or two model files, got one of each");
  Population original = load(options.original, original_kind, options);
  const Population edited = load(options.edited, edited_kind, options);
  // Of two model files only the edited one knows its dataset.
  const Population& reference = original.dataset_source.empty() ? edited : original;
  const Dataset dataset = load_referenced_dataset(
      options.data, {original.dataset_source.empty() ? options.edited : options.original, reference.dataset_name,
                     reference.dataset_source, reference.dataset_fingerprint});
  if (const std::size_t left_out = keep_edited(original, edited); left_out > 0 && !original.networks.empty())
    session.say(fmt::format("{} of {} networks were not edited and are left out", left_out,
                            left_out + original.networks.size()));

  const AuditReport report = audit(original, edited, dataset, audit_options);
  if (options.json)
    session.print(to_json(report));
  else
    session.out << format_table(report, session.width, session.color);
  list_violations(report, session);
  return report.violations.empty() ? kSuccess : kLimitNotMet;
}

void add_limits(CLI::App& command, AuditLimits& limits) {
  const auto add = [&](const char* name, std::optional<double>& limit, const char* what) {
    return command.add_option(name, limit, what)->group("Limits");
  };
  add("--max-accuracy-drop", limits.max_accuracy_drop, "In accuracy points: 1 is from 85% to 84%");
  add("--max-divergence", limits.max_divergence, "Jensen-Shannon, nats: 0 .. 0.693")->check(CLI::NonNegativeNumber);
  add("--max-equalised-odds", limits.max_equalised_odds, "The larger gap of true- and false-positive rate: 0 .. 1")
      ->check(CLI::NonNegativeNumber);
  add("--max-equalised-odds-sum", limits.max_equalised_odds_sum, "The sum of both gaps: 0 .. 2")
      ->check(CLI::NonNegativeNumber);
  add("--max-demographic-parity", limits.max_demographic_parity, "The gap of the selection rate: 0 .. 1")
      ->check(CLI::NonNegativeNumber);
  add("--max-equal-opportunity", limits.max_equal_opportunity, "The gap of the true-positive rate: 0 .. 1")
      ->check(CLI::NonNegativeNumber);
  add("--max-features", limits.max_features, "Features really used")->check(CLI::NonNegativeNumber);
  add("--max-nonzero-share", limits.max_nonzero_share, "Share of weights that are not zero: 0 .. 1")
      ->check(CLI::NonNegativeNumber);
  add("--max-live-neurons", limits.max_live_neurons, "Hidden neurons that still matter")->check(CLI::NonNegativeNumber);
}

}  // namespace

void add_audit_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("audit", "Compare edited networks with their originals on held-out rows");
  command.footer(kFooter);
  auto options = std::make_shared<Options>();
  command.add_option("ORIGINAL", options->original, "Population folder or .safetensors model")->required();
  command.add_option("EDITED", options->edited, "What became of it")->required();
  command.add_option("--data", options->data, "Dataset description; default: the one recorded in ORIGINAL or EDITED");
  command.add_option("--sensitive", options->sensitive, "Attributes to measure fairness over; default: all")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_flag("--intersection", options->intersection, "Measure over the intersection of the attributes too");
  command.add_option("--split", options->split, "Networks: train, validation, test or all (default)");
  command.add_option("--rows", options->rows, "Data: audit (default), validation, editor_train, subject_train");
  command.add_option("--minimum-rows", options->minimum_rows, "Rates of fewer rows count as unknown (20)")
      ->check(CLI::PositiveNumber);
  command.add_flag("--mean", options->mean, "Hold limits against the mean over networks");
  command.add_option("--seed", options->seed, "Of the bootstrap (1)");
  command.add_option("--model", options->model.file, "YAML with `layers` and `activation` of model files");
  command.add_option("--activation", options->model.activation, "Of model files: relu, tanh, silu or sigmoid");
  command.add_flag("--json", options->json, "Print the report as JSON");
  options->compute.add_to(command);
  add_limits(command, options->limits);
  command.callback(
      [options, &session] { session.action = [options, &session] { return run_audit(*options, session); }; });
}

}  // namespace amend
