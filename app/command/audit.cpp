#include "requirements/audit.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "app/command/commands.hpp"
#include "app/command_line.hpp"
#include "app/compute_options.hpp"
#include "app/inputs.hpp"
#include "engine/error.hpp"
#include "requirements/audit_limits.hpp"

namespace amend {
namespace {

constexpr char kAuditFooter[] =
    R"(Limits hold for every network, or with --mean for the mean over them; they are held against point estimates.
Exit code 3 when one is not met, or cannot be shown to be met for lack of rows: a gap that leaves out a group
with too few rows meets no limit unless --ignore-small-groups is given.

Examples:
  amend audit synthetic-networks edited
  amend audit model.safetensors smaller.safetensors --data configs/data/adult.yaml --sensitive sex
  amend audit adult-networks edited --sensitive sex --max-accuracy-drop 1 --max-equalised-odds 0.05 --mean)";

struct AuditCommand {
  std::string original, edited, data, rows = "audit";
  std::optional<std::string> split, networks;
  std::vector<std::string> sensitive;
  ModelDescription model;
  AuditLimits limits;
  bool intersection = false, mean = false, ignore_small_groups = false, json = false;
  std::int64_t minimum_rows = kMinimumRows;
  std::uint64_t seed = 1;
  ComputeOptions compute;
};

DataSplit parse_rows(const std::string& text) {
  for (const auto split : {DataSplit::audit, DataSplit::validation, DataSplit::editor_train, DataSplit::subject_train})
    if (text == to_string(split)) return split;
  fail_input("--rows", "expected audit, validation, editor_train or subject_train, got `", text, "`");
}

/// How many networks the table lists.
std::size_t parse_networks(const std::string& text) {
  if (text == "all") return std::numeric_limits<std::size_t>::max();
  std::size_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || stop != text.data() + text.size() || count == 0)
    fail_input("--networks", "expected all or a number from 1, got `", text, "`");
  return count;
}

/// Throws InputError when an option is given that does nothing for such inputs.
void check_use(const AuditCommand& options, InputKind kind) {
  const auto refuse = [](const char* option, const char* why) { fail_input(option, why); };
  if (kind == InputKind::population) {
    if (!options.model.file.empty()) refuse("--model", "describes model files; populations know their layers");
    if (!options.model.activation.empty()) refuse("--activation", "describes model files; populations know theirs");
  } else {
    if (options.split) refuse("--split", "chooses networks of a population; model files have no splits");
    if (options.networks) refuse("--networks", "lists networks of a population; a model file holds one");
  }
  if (options.json && options.networks) refuse("--networks", "is for the table; --json has every network");
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

Population load(const std::string& path, InputKind kind, const AuditCommand& options) {
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

void warn_unchecked(const Population& population, const std::string& path, const Dataset& dataset,
                    const Session& session) {
  if (population.dataset_fingerprint.empty())
    session.say(
        fmt::format("warning: {} has no dataset fingerprint: not checked that it belongs to `{}`", path, dataset.name));
}

void list_violations(const AuditReport& report, const Session& session) {
  constexpr int kShown = 5;  // of every limit
  std::map<std::string, int> count;
  std::set<std::string> lacking;  // evidence lacks for every network alike: said once
  for (const Violation& violation : report.violations) {
    if (!violation.exceeded && !lacking.insert(violation.limit + violation.grouping).second) continue;
    if (++count[violation.limit] <= kShown) session.say("limit not met: " + violation_text(violation));
  }
  for (const auto& [limit, broken] : count)
    if (broken > kShown)
      session.say(fmt::format("limit not met: {}: and {} more", limit_option(find_limit(limit)), broken - kShown));
}

int run_audit(const AuditCommand& options, const Session& session) {
  const ThreadScope threads(options.compute);
  AuditOptions audit_options{.split = parse_rows(options.rows),
                             .networks = parse_population_split(options.split.value_or("all")),
                             .attributes = options.sensitive,
                             .intersection = options.intersection,
                             .minimum_rows = options.minimum_rows,
                             .limits = options.limits,
                             .scope = options.mean ? LimitScope::population_mean : LimitScope::every_network,
                             .ignore_small_groups = options.ignore_small_groups,
                             .seed = options.seed,
                             .device = options.compute.parsed()};
  TableOptions table{.width = session.width, .color = session.color};
  if (options.networks) table.networks = parse_networks(*options.networks);

  const InputKind original_kind = kind_of(options.original), edited_kind = kind_of(options.edited);
  if (original_kind != edited_kind)
    fail_input(options.edited, "expected two populations or two model files, got one of each");
  check_use(options, original_kind);
  Population original = load(options.original, original_kind, options);
  const Population edited = load(options.edited, edited_kind, options);
  // Of two model files only the edited one knows its dataset.
  const Population& reference = original.dataset_source.empty() ? edited : original;
  const Dataset dataset = load_referenced_dataset(
      options.data, {original.dataset_source.empty() ? options.edited : options.original, reference.dataset_name,
                     reference.dataset_source, reference.dataset_fingerprint});
  if (original_kind == InputKind::population) {  // a user's own model cannot say
    warn_unchecked(original, options.original, dataset, session);
    warn_unchecked(edited, options.edited, dataset, session);
  }
  if (const std::size_t left_out = keep_edited(original, edited); left_out > 0 && !original.networks.empty())
    session.say(fmt::format("{} of {} networks were not edited and are left out", left_out,
                            left_out + original.networks.size()));

  const AuditReport report = audit(original, edited, dataset, audit_options);
  if (options.json)
    session.print(to_json(report));
  else
    session.out << format_table(report, table);
  list_violations(report, session);
  return report.violations.empty() ? kSuccess : kLimitNotMet;
}

void add_limits(CLI::App& command, AuditLimits& limits) {
  for (const Limit& limit : limit_table()) {
    const auto store = [&limits, &limit](double typed) { limits.*limit.bound = typed / limit.scale; };
    const auto problem = [&limit](const std::string& text) {
      return parse_bound(limit, text) ? std::string() : "expected " + range_text(limit) + ", got `" + text + "`";
    };
    command.add_option_function<double>(limit_option(limit), store, limit.help)->check(problem)->group("Limits");
  }
}

}  // namespace

void add_audit_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("audit", "Compare edited networks with their originals on held-out rows");
  command.footer(kAuditFooter);
  auto options = std::make_shared<AuditCommand>();
  command.add_option("ORIGINAL", options->original, "Population folder or .safetensors model")->required();
  command.add_option("EDITED", options->edited, "What became of it")->required();
  command.add_option("--data", options->data, "Dataset description; default: the one recorded in ORIGINAL or EDITED");
  command.add_option("--sensitive", options->sensitive, "Attributes to measure fairness over; default: all")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_flag("--intersection", options->intersection, "Measure over the intersection of the attributes too");
  command.add_option("--split", options->split, "Networks of populations: train, validation, test or all (default)");
  command.add_option("--networks", options->networks, "Rows of single networks: all, or the N worst (5)");
  command.add_option("--rows", options->rows, "Data: audit (default), validation, editor_train, subject_train");
  command.add_option("--minimum-rows", options->minimum_rows, "Rates of fewer rows count as unknown (20)")
      ->check(CLI::PositiveNumber);
  command.add_flag("--mean", options->mean, "Hold limits against the mean over networks");
  command.add_flag("--ignore-small-groups", options->ignore_small_groups,
                   "Let limits be met by gaps that leave out groups with too few rows");
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
