#include <omp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/command/commands.hpp"
#include "app/compute_options.hpp"
#include "app/embedded_configs.hpp"
#include "app/inputs.hpp"
#include "bench/measure/short_run.hpp"
#include "engine/error.hpp"
#include "metanet/data/atomic_file.hpp"

namespace amend {
namespace {

constexpr char kBenchFooter[] =
    R"(Random networks 104-32-16-2 and random editors of two sizes: how fast, not how good. Times are the median of a row's
runs with its 5th and 95th percentile; docs/benchmarks.md explains the other columns. On a GPU edits go from weights
in its memory to edited weights there, and in rows of their own from and to the host.

Examples:
  amend bench
  amend bench --threads 1 --json bench.json
  amend bench --device cuda)";

struct BenchCommand {
  std::string json;
  bool force = false;
  bench::ShortRun run;
  ComputeOptions compute;
};

int run_bench(BenchCommand& options, const Session& session) {
  const ThreadScope threads(options.compute);
  options.run.device = options.compute.parsed();
  if (!options.json.empty()) check_output_file(options.json, options.force);
  options.run.threads = omp_get_max_threads();
  options.run.run([&](const bench::Row& row) {
    if (session.progress) session.say(row.name);
  });
  session.out << bench::format_table(options.run.rows, options.run.limits);
  if (options.json.empty()) return 0;
  nlohmann::ordered_json json = options.run.json();
  json["version"] = version();
  write_file_atomically(options.json, json.dump(1) + "\n");
  return 0;
}

}  // namespace

void add_bench_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("bench", "Measure how fast this machine edits networks");
  command.footer(kBenchFooter);
  auto options = std::make_shared<BenchCommand>();
  command.add_option("--batch", options->run.batch, "Networks of the larger batch (64)")->check(CLI::Range(1, 65536));
  command.add_option("--seconds", options->run.seconds, "At least so long a row (0.5)")->check(CLI::Range(0.0, 3600.0));
  command.add_option("--json", options->json, "Also write the numbers to this file");
  command.add_flag("--force", options->force, "Replace the file of --json");
  options->compute.add_to(command);
  command.callback(
      [options, &session] { session.action = [options, &session] { return run_bench(*options, session); }; });
}

}  // namespace amend
