// Every benchmark of the engine, on Google Benchmark's registration, filters and JSON:
//
//   amend_bench [--device cpu|cuda] [--threads N] [--benchmark_filter=REGEX] [--benchmark_out=FILE] ...
//
// A row is one iteration that is measured inside (median and quantiles of many runs); docs/benchmarks.md says what the
// columns mean. A row that fails, for lack of memory for instance, says so and the others go on.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <iostream>
#include <map>

#include "bench/measure/measure_row.hpp"
#include "bench/rows.hpp"
#include "engine/stream_owner.hpp"

namespace amend::bench {

namespace {

std::map<int, Limits>& limits() {
  static std::map<int, Limits> measured;
  return measured;
}

std::vector<Row>& rows() {
  static std::vector<Row> measured;
  return measured;
}

/// Whether a row failed for another reason than memory.
bool& any_failed() {
  static bool failed = false;
  return failed;
}

void count(benchmark::State& state, const Row& row, const Limits& of) {
  state.counters = {{"threads", row.threads},
                    {"networks", row.networks},
                    {"runs", row.times.runs},
                    {"p5_seconds", row.times.p5},
                    {"p95_seconds", row.times.p95},
                    {"bytes", row.cost.bytes},
                    {"operations", row.cost.operations},
                    {"copy_share", copy_share(row, of)},
                    {"gemm_share", gemm_share(row, of)},
                    {"copy_bytes_per_second", of.copy_bytes},
                    {"gemm_operations_per_second", of.operations(row.precision)},
                    {"peak_memory_bytes", static_cast<double>(row.memory)},
                    {"launches", row.launches},
                    {"error", row.error}};
  if (!of.device.empty()) state.counters["empty_kernel_seconds"] = of.launch_seconds;
  state.SetLabel(row.cost.formula);
}

void run_row(benchmark::State& state, const RowPlan& plan, Stream stream) {
  omp_set_num_threads(plan.threads);
  Row row;
  try {
    if (!limits().contains(plan.threads)) limits()[plan.threads] = measure_limits(stream.device(), plan.threads);
    row = measure_row(plan.family, plan.networks, stream, {.least_runs = 3, .cold = plan.cold});
  } catch (const Error& error) {
    row.note = error.what();
    any_failed() = true;
  }
  row.name = plan.name;
  row.threads = plan.threads;
  if (!row.note.empty()) {
    state.SkipWithError(row.note.c_str());
  } else {
    for (auto _ : state) state.SetIterationTime(row.times.median);
    count(state, row, limits()[plan.threads]);
  }
  rows().push_back(std::move(row));
}

void add(const RowPlan& plan, Stream stream) {
  benchmark::RegisterBenchmark(plan.name.c_str(),
                               [plan, stream](benchmark::State& state) { run_row(state, plan, stream); })
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

/// Names each row on stderr when it is measured, on a GPU with its numbers; the table comes last, when all limits are
/// known.
class Table final : public benchmark::BenchmarkReporter {
 public:
  explicit Table(bool on_device) : on_device_(on_device) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      GetErrorStream() << run.benchmark_name();
      if (run.error_occurred) {
        GetErrorStream() << ": " << run.error_message;
      } else if (on_device_) {
        const Row& row = rows().back();
        GetErrorStream() << ": " << 1e6 * row.times.median << " us, " << 100 * copy_share(row, limits()[row.threads])
                         << "% copy, " << 100 * gemm_share(row, limits()[row.threads]) << "% GEMM, error " << row.error;
      }
      GetErrorStream() << std::endl;
    }
  }
  void Finalize() override {
    std::vector<Limits> measured;
    for (const auto& [threads, of] : limits()) measured.push_back(of);
    GetOutputStream() << format_table(rows(), measured) << std::flush;
  }

 private:
  bool on_device_;
};

/// Takes `--name VALUE` or `--name=VALUE` out of the arguments.
std::string take(std::vector<char*>& arguments, const std::string& name, const std::string& otherwise) {
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string text = arguments[i];
    const auto at = arguments.begin() + static_cast<std::ptrdiff_t>(i);
    if (text.starts_with(name + "=")) {
      arguments.erase(at);
      return text.substr(name.size() + 1);
    }
    if (text != name) continue;
    if (i + 1 == arguments.size()) fail_input(name, "expected a value");
    const std::string value = arguments[i + 1];
    arguments.erase(at, at + 2);
    return value;
  }
  return otherwise;
}

int run(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const std::string threads_text = take(arguments, "--threads", std::to_string(omp_get_max_threads()));
  const int threads = std::atoi(threads_text.c_str());
  if (threads < 1) fail_input("--threads", "expected a number from 1, got `", threads_text, "`");
  const Device device = parse_device(take(arguments, "--device", "cpu"));
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  const StreamOwner stream(device);
  for (const RowPlan& plan : device.is_cuda() ? device_rows(threads) : cpu_rows(threads)) add(plan, stream);
  benchmark::AddCustomContext("processor", processor_name());
  benchmark::AddCustomContext("device", device_name(device));
  Table table(device.is_cuda());
  const std::size_t matched = benchmark::RunSpecifiedBenchmarks(&table);
  return matched == 0 || any_failed() ? 1 : 0;
}

}  // namespace

}  // namespace amend::bench

int main(int argc, char** argv) {
  try {
    return amend::bench::run(argc, argv);
  } catch (const amend::InputError& error) {
    std::cerr << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "amend_bench: " << error.what() << "\n";
    return 1;
  }
}
