#include <fmt/format.h>

#include <omp.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "app/command/commands.hpp"
#include "app/command_line.hpp"
#include "app/comparison_page.hpp"
#include "app/comparison_summary.hpp"
#include "app/compute_options.hpp"
#include "app/embedded_configs.hpp"
#include "app/inputs.hpp"
#include "bench/measure/timing.hpp"
#include "engine/error.hpp"
#include "metanet/data/atomic_file.hpp"
#include "metanet/data/json_reader.hpp"
#include "metanet/train/progress.hpp"
#include "requirements/comparison/comparison_csv.hpp"
#include "requirements/comparison/comparison_run.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

constexpr char kCompareFooter[] =
    R"(CONFIG names a population, editors and the grid of settings (docs/comparison.md). Every method edits the population's
held-out networks and is measured on audit rows; learning rates are chosen on validation networks and rows. Writes
OUT.json (everything), OUT.csv (one line per network and setting) and OUT.html (one page with plots, needs nothing else).

Examples:
  amend compare configs/compare_adult_quick.yaml --folder results --out results/adult_quick
  amend compare --from results/adult_quick.json --out page      # the CSV and the page again, measuring nothing)";

struct CompareCommand {
  std::string config, folder, out, from;
  bool force = false;
  ComputeOptions compute;
};

/// The progress bar of one table after the other.
class TableProgress {
 public:
  explicit TableProgress(bool enabled) : enabled_(enabled) {}

  void operator()(const std::string& what, std::size_t done, std::size_t all) {
    if (done == 0 && (!progress_ || started_)) {
      if (progress_) progress_->finish();
      progress_.emplace("comparing", static_cast<std::int64_t>(all), enabled_);
      started_ = false;
    }
    started_ = started_ || done > 0;
    progress_->update(static_cast<std::int64_t>(done), what);
  }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  bool enabled_, started_ = false;
  std::optional<Progress> progress_;
};

Comparison measured(const CompareCommand& options, const Session& session) {
  const fs::path folder = options.folder.empty() ? fs::path(options.config).parent_path() : fs::path(options.folder);
  const ComparisonConfig config = load_comparison_config(options.config, folder);
  TableProgress progress(session.progress);
  Comparison comparison =
      compare(config, options.compute.parsed(),
              [&](const std::string& what, std::size_t done, std::size_t all) { progress(what, done, all); });
  progress.finish();
  comparison.version = version();
  comparison.hardware = fmt::format("{}, {} threads", bench::processor_name(), omp_get_max_threads());
  comparison.command =
      fmt::format("amend compare {}{}", options.config, options.folder.empty() ? "" : " --folder " + options.folder);
  return comparison;
}

int compare_methods(const CompareCommand& options, const Session& session) {
  if (options.from.empty() == options.config.empty())
    fail_input("compare", "expected either CONFIG or --from FILE.json");
  const ThreadScope threads(options.compute);
  const fs::path json = options.out + ".json", csv = options.out + ".csv", page = options.out + ".html";
  std::vector<fs::path> written{csv, page};
  if (options.from.empty()) written.push_back(json);
  for (const fs::path& file : written) {
    check_not_read(file, {options.config, options.from});
    check_output_file(file, options.force);
  }
  const Comparison comparison =
      options.from.empty() ? measured(options, session) : comparison_from_json(load_json(options.from), options.from);
  if (options.from.empty()) write_file_atomically(json, to_json(comparison).dump() + "\n");
  write_file_atomically(csv, comparison_csv(comparison));
  write_file_atomically(page, comparison_page(comparison));
  session.out << comparison_text(comparison);
  session.out << fmt::format("written to {0}.csv, {0}.html{1}\n", options.out,
                             options.from.empty() ? fmt::format(" and {}.json", options.out) : "");
  return 0;
}

}  // namespace

void add_compare_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("compare", "Hold editors against baselines on held-out networks");
  command.footer(kCompareFooter);
  auto options = std::make_shared<CompareCommand>();
  command.add_option("CONFIG", options->config, "Configuration (YAML)");
  command.add_option("--folder", options->folder,
                     "Where the population and editors of CONFIG are; default: the folder of CONFIG");
  command.add_option("--from", options->from, "A JSON file of an earlier comparison, instead of CONFIG");
  command.add_option("--out", options->out, "Where to write: OUT.json, OUT.csv, OUT.html")->required();
  command.add_flag("--force", options->force, "Replace what is already there");
  options->compute.add_to(command);
  command.callback(
      [options, &session] { session.action = [options, &session] { return compare_methods(*options, session); }; });
}

}  // namespace amend
