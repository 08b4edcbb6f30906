#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "app/command/commands.hpp"
#include "app/command_line.hpp"
#include "app/compute_options.hpp"
#include "app/demo_report.hpp"
#include "app/embedded_configs.hpp"
#include "engine/error.hpp"
#include "metanet/data/atomic_file.hpp"
#include "metanet/train/batch_editor.hpp"
#include "metanet/train/editor_trainer.hpp"
#include "metanet/train/population_trainer.hpp"
#include "requirements/audit.hpp"
#include "requirements/baseline/pruning.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

constexpr char kDemoFooter[] =
    R"(Trains a population of small networks on built-in data about loans (docs/datasets.md), with a bias planted against
one group, then one editor; edits networks that the editor has never seen and audits them on rows that nobody has.
The baseline, OBD + fold, removes the weights whose removal costs least by a second-order estimate and makes up for
their mean in the biases; it gets the same number of weights for every network.

Examples:
  amend demo
  amend demo --seed 2 --keep demo-files)";

struct DemoCommand {
  std::uint64_t seed = 1;
  std::string keep;
  bool json = false;
  ComputeOptions compute;
};

/// The configurations in a folder of their own, which goes again unless it is to be kept.
class ConfigFolder {
 public:
  explicit ConfigFolder(const std::string& keep) : kept_(!keep.empty()) {
    if (kept_) {
      std::error_code error;
      if (fs::exists(keep, error) && !fs::is_empty(keep, error))
        fail_input("--keep", "expected a new or empty folder, `", keep, "` holds something");
      path_ = keep;
    } else {
      std::string name = (fs::temp_directory_path() / "amend-demo-XXXXXX").string();
      if (!::mkdtemp(name.data())) fail_input(name, "cannot make a temporary folder; set TMPDIR");
      path_ = name;
    }
    for (const EmbeddedConfig& config : embedded_configs()) write_file_atomically(file(config.path), config.text);
  }
  ~ConfigFolder() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  ConfigFolder(const ConfigFolder&) = delete;
  ConfigFolder& operator=(const ConfigFolder&) = delete;

  fs::path file(std::string_view config) const { return path_ / "configs" / config; }
  fs::path path() const { return path_; }
  bool kept() const { return kept_; }

 private:
  bool kept_;
  fs::path path_;
};

/// Seconds since it was last asked.
class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now(), before = std::exchange(last_, now);
    return std::chrono::duration<double>(now - before).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// The population with only the networks of its test split, and with other networks in their place.
Population held_out(const Population& population) {
  Population result;
  result.dataset_name = population.dataset_name;
  result.dataset_source = population.dataset_source;
  result.dataset_fingerprint = population.dataset_fingerprint;
  for (const int n : networks_of(population, PopulationSplit::test)) {
    const auto index = static_cast<std::size_t>(n);
    result.networks.push_back(population.networks[index]);
    result.split.push_back(population.split[index]);
    result.attributes.push_back(population.attributes[index]);
  }
  return result;
}

std::vector<const SubjectNetwork*> pointers(const Population& population) {
  std::vector<const SubjectNetwork*> networks;
  for (const SubjectNetwork& network : population.networks) networks.push_back(&network);
  return networks;
}

double mean_of(const std::vector<MetricSummary>& metrics, const std::string& name, bool original = false) {
  for (const MetricSummary& metric : metrics)
    if (metric.metric == name) return original ? metric.original_mean.value_or(0.0) : metric.mean;
  fail("demo", "the audit has no metric `", name, "`");
}

DemoMeasure measure(const AuditReport& report, bool original = false) {
  return {.nonzero_share = mean_of(report.metrics, "nonzero_share", original),
          .accuracy = mean_of(report.metrics, "accuracy", original),
          .divergence = original ? 0.0 : mean_of(report.metrics, "divergence"),
          .gap = mean_of(report.groupings.front().metrics, "equalised_odds_difference", original)};
}

/// Edits the networks at one condition, and prunes them to the same number of weights by the baseline.
DemoRow edit_row(BatchEditor& editor, const TrainedEditor& trained, const Population& originals, const Dataset& dataset,
                 DemoRow row, double& edit_seconds) {
  const std::size_t count = originals.networks.size();
  std::vector<double> lambda;
  for (std::size_t n = 0; n < count; ++n)
    for (std::size_t r = 0; r < trained.config.lambda.size(); ++r)
      lambda.push_back(trained.config.lambda[r].at_strength(
          trained.config.shape.requirements[r] == "pruning" ? row.pruning : row.fairness));
  Stopwatch watch;
  const auto results = editor.edit_all(pointers(originals), lambda, static_cast<int>(count));
  edit_seconds += watch.lap();

  Population edited = originals, pruned = originals;
  const std::vector<float> rows = spread_rows(dataset.editor_train, dataset.inputs);
  const PruningMethod obd_fold{.score = WeightScore::obd, .scope = PruningScope::network, .fold = true};
  for (std::size_t n = 0; n < count; ++n) {
    edited.networks[n] = results[n].network;
    const SubjectNetwork* network = &originals.networks[n];
    pruned.networks[n] = prune({&network, 1}, rows, results[n].nonzero_share, obd_fold).front();
  }
  row.edited = measure(audit(originals, edited, dataset, {.device = trained.editor->device()}));
  row.baseline = measure(audit(originals, pruned, dataset, {.device = trained.editor->device()}));
  return row;
}

void keep_files(const ConfigFolder& folder, const Population& population, const TrainedEditor& editor) {
  save_population(population, folder.path() / "population");
  save_editor(editor, folder.path() / "editor.safetensors");
}

int demo(const DemoCommand& options, const Session& session) {
  const ThreadScope threads(options.compute);
  const Device device = options.compute.parsed();
  const ConfigFolder folder(options.keep);
  PopulationConfig population_config = load_population_config(folder.file("population_synthetic.yaml"));
  EditorConfig editor_config = load_editor_config(folder.file("editor_synthetic.yaml"));
  population_config.seed = editor_config.seed = options.seed;

  DemoReport report;
  Stopwatch watch;
  const Dataset dataset = load_dataset(population_config.dataset);
  session.say(fmt::format("training {} networks ...", population_config.networks));
  const Population population =
      train_population(population_config, dataset, {.progress = session.progress, .device = device});
  report.population_seconds = watch.lap();
  session.say("training the editor ...");
  TrainedEditor trained = train_editor(editor_config, population, dataset, make_requirements,
                                       {.progress = session.progress, .device = device});
  report.editor_seconds = watch.lap();
  if (folder.kept()) keep_files(folder, population, trained);
  session.say("editing and auditing ...");

  const Population originals = held_out(population);
  if (originals.networks.empty()) fail("demo", "the population has no held-out networks");
  report.networks = originals.networks.size();
  report.trained_on = networks_of(population, PopulationSplit::train).size();
  report.rows = dataset.audit.count;
  report.groups = dataset.sensitive.front().groups;
  report.original = measure(audit(originals, originals, dataset, {.device = device}), true);
  BatchEditor editor(trained, dataset);
  double edit_seconds = 0.0;
  for (const DemoRow& row : demo_conditions())
    report.rows_edited.push_back(edit_row(editor, trained, originals, dataset, row, edit_seconds));
  report.edit_milliseconds =
      1e3 * edit_seconds / static_cast<double>(originals.networks.size() * report.rows_edited.size());
  report.audit_seconds = watch.lap();

  if (options.json)
    session.print(to_json(report));
  else
    session.out << format_report(report);
  if (folder.kept()) session.say("the population, the editor and the configurations are in " + options.keep);
  return verdict(report).improved ? kSuccess : kFailure;
}

}  // namespace

void add_demo_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("demo", "See it all on built-in data, within two minutes");
  command.footer(kDemoFooter);
  auto options = std::make_shared<DemoCommand>();
  command.add_option("--seed", options->seed, "Of the networks and the editor (1)");
  command.add_option("--keep", options->keep, "New folder to keep population, editor and configurations in");
  command.add_flag("--json", options->json, "Print the measurements as JSON");
  options->compute.add_to(command);
  command.callback([options, &session] { session.action = [options, &session] { return demo(*options, session); }; });
}

}  // namespace amend
