// Every benchmark of the engine, on Google Benchmark's registration, filters and JSON:
//
//   amend_bench [--device cpu] [--threads N] [--benchmark_filter=REGEX] [--benchmark_out=FILE] ...
//
// A row is one iteration that is measured inside (median and quantiles of many runs); docs/benchmarks.md says what the
// columns mean.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <iostream>
#include <map>

#include "bench/case.hpp"
#include "bench/measure/short_run.hpp"
#include "metanet/train/population_trainer.hpp"

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

void run_row(benchmark::State& state, const std::string& name, const Family& family, int networks, int threads,
             bool cold) {
  omp_set_num_threads(threads);
  if (!limits().contains(threads)) limits()[threads] = measure_limits(threads);
  const auto watch = make_stopwatch(Stream());
  const Case which = family.make(DType::float32, networks);
  Row row{.name = name, .threads = threads, .networks = static_cast<double>(networks), .cost = family.cost(networks)};
  for (auto _ : state) {
    row.times = measure(*watch, which.run, {.least_runs = 3, .cold = cold});
    state.SetIterationTime(row.times.median);
  }
  row.error = error_of(family);
  row.memory = which.memory ? which.memory : peak_memory_bytes();
  const Limits& of = limits()[threads];
  state.counters = {{"threads", threads},
                    {"networks", networks},
                    {"runs", row.times.runs},
                    {"p5_seconds", row.times.p5},
                    {"p95_seconds", row.times.p95},
                    {"bytes", row.cost.bytes},
                    {"operations", row.cost.operations},
                    {"copy_share", copy_share(row, of)},
                    {"gemm_share", gemm_share(row, of)},
                    {"copy_bytes_per_second", of.copy_bytes},
                    {"gemm_operations_per_second", of.gemm_operations},
                    {"peak_memory_bytes", static_cast<double>(row.memory)},
                    {"launches", watch->launches(which.run)},
                    {"error", row.error}};
  state.SetLabel(row.cost.formula);
  rows().push_back(std::move(row));
}

void add(const std::string& family_name, const Family& family, int networks, int threads, bool cold = false) {
  const std::string name = family_name + "/networks:" + std::to_string(networks) +
                           "/threads:" + std::to_string(threads) + (cold ? "/cold" : "");
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { run_row(state, name, family, networks, threads, cold); })
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

template <class Which>
Case wrap(std::shared_ptr<Which> which) {
  return {.keep = which, .run = [which] { (void)which->run(); }, .outputs = {}};
}

Family edit_family(const Workload& of) {
  return {.make = [of](DType dtype, int networks) { return wrap(std::make_shared<EditCase>(of, networks, dtype)); },
          .cost =
              [of](int n) {
                return edit_cost(batch_size(of.widths, n), editor_size(of), static_cast<double>(of.probe_rows));
              },
          .error = [of] { return edit_error(of, kComparedNetworks); }};
}

Family message_family(const Workload& of) {
  return {.make = [of](DType dtype, int networks) { return wrap(std::make_shared<MessageCase>(of, networks, dtype)); },
          .cost =
              [of](int n) {
                Cost cost{0, 0, "K message layers"};
                for (int k = 0; k < of.messages; ++k)
                  cost += message_layer_cost(batch_size(of.widths, n), editor_size(of));
                return cost;
              },
          .error = [of] { return message_error(of, kComparedNetworks); }};
}

Family training_family(const Workload& of) {
  return {.make = [of](DType, int networks) { return wrap(std::make_shared<TrainingCase>(of, networks)); },
          .cost =
              [of](int n) {
                return training_step_cost(batch_size(of.widths, n), editor_size(of),
                                          static_cast<double>(of.probe_rows));
              },
          .comparable = false};
}

/// 50 steps of 128 rows for every network.
Family population_family() {
  constexpr int kSteps = 50, kRows = 128;
  const std::vector<int> widths{104, 32, 16, 2};
  return {.make =
              [widths](DType, int networks) {
                struct Population {
                  PopulationConfig config;
                  Dataset dataset;
                };
                auto which = std::make_shared<Population>();
                which->dataset = tabular_dataset(widths.front(), widths.back(), 4 * kRows);
                PopulationConfig& config = which->config;
                config.networks = networks;
                config.split = {1.0, 0.0, 0.0};
                config.widths = {{widths[1], widths[2]}};
                config.epochs = {1.0, 1.0};
                config.min_steps = kSteps;
                config.batch_size = kRows;
                config.data_fraction = {1.0, 1.0};
                return Case{.keep = which,
                            .run = [which] { (void)train_population(which->config, which->dataset); },
                            .outputs = {}};
              },
          .cost =
              [widths](int n) {
                Cost cost{0, 0, "50 (subject_forward + subject_backward + adamw), 128 rows"};
                for (int step = 0; step < kSteps; ++step) cost += population_step_cost(batch_size(widths, n), kRows);
                return cost;
              },
          .comparable = false};
}

void register_kernels(int threads) {
  for (const auto& [label, width] : {std::pair{"a", 64}, std::pair{"b", 32}}) {
    const KernelSize size{.d = width, .h = width};
    const std::string of = "/" + std::string(label);
    const auto both = [&](const std::string& name, const Family& family) {
      for (const bool cold : {false, true})
        for (const int networks : {1, 64}) add(name + of, family, networks, threads, cold);
      if (threads > 1) add(name + of, family, 64, 1);
    };
    both("edge_update_forward", edge_update_forward_family(size));
    both("edge_update_backward", edge_update_backward_family(size));
    both("edit_head", edit_head_family(size));
    if (width == 64) continue;  // the others do not depend on it
    both("probe", probe_family(size));
    both("subject_forward", subject_forward_family(size));
    both("subject_backward", subject_backward_family(size));
    both("divergence", divergence_family(size));
    both("gate", gate_family(size));
  }
  for (const std::int64_t parameters : {std::int64_t{30'000}, std::int64_t{4'000'000}})
    add("adamw/parameters:" + std::to_string(parameters), adamw_family(parameters), 1, threads);
}

void register_edits(int threads) {
  for (const int messages : {0, 1, 4})
    for (const int passes : {1, 3}) {
      Workload of = workload("b");
      of.messages = messages;
      of.passes = passes;
      for (const int networks : {1, 64})
        add("edit/D:32/K:" + std::to_string(messages) + "/T:" + std::to_string(passes), edit_family(of), networks,
            threads);
    }
  for (const char* name : {"a", "b"}) {
    const Workload of = workload(name);
    const std::string suffix = std::string("/") + name;
    for (int networks = 1; networks <= 4096; networks *= 4) {  // 1 .. 4,096
      add("batch/edit" + suffix, edit_family(of), networks, threads);
      if (networks <= 1024) add("batch/messages" + suffix, message_family(of), networks, threads);
    }
    add("training_step" + suffix, training_family(of), 16, threads);
    for (int count = 1; count < 2 * threads; count *= 2) {
      const int used = std::min(count, threads);
      add("scaling/edit" + suffix, edit_family(of), 64, used);
      add("scaling/messages" + suffix, message_family(of), 64, used);
      add("scaling/training_step" + suffix, training_family(of), 16, used);
    }
  }
  add("population/widths:104-32-16-2/steps:50", population_family(), 64, threads);
}

/// Networks from a thousand to a million weights; about as many weights a batch.
void register_sweeps(int threads) {
  const std::vector<std::vector<int>> wide{{104, 8, 8, 2},     {104, 32, 16, 2},   {104, 96, 64, 2},
                                           {104, 256, 224, 2}, {104, 512, 448, 2}, {104, 1024, 832, 2}};
  for (const auto& widths : wide) {
    Workload of = workload("b");
    of.widths = widths;
    const double weights = batch_size(widths, 1).edges;
    const int networks = std::max(1, static_cast<int>(250'000 / weights));
    add("width/edit/weights:" + std::to_string(static_cast<int>(weights)), edit_family(of), networks, threads);
    add("width/edge_update_forward/weights:" + std::to_string(static_cast<int>(weights)),
        edge_update_forward_family({.widths = widths, .d = 32, .h = 32}), networks, threads);
  }
  for (const int depth : {1, 2, 4, 8, 16}) {
    Workload of = workload("b");
    of.widths.assign(1, 104);
    of.widths.insert(of.widths.end(), static_cast<std::size_t>(depth), 32);
    of.widths.push_back(2);
    add("depth/edit/hidden:" + std::to_string(depth), edit_family(of), 16, threads);
  }
}

/// Names each row on stderr while it is measured; the table comes last, when all limits are known.
class Table final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      GetErrorStream() << run.benchmark_name() << (run.error_occurred ? ": " + run.error_message : "") << std::endl;
      failed_ = failed_ || run.error_occurred;
    }
  }
  void Finalize() override {
    std::vector<Limits> measured;
    for (const auto& [threads, of] : limits()) measured.push_back(of);
    GetOutputStream() << format_table(rows(), measured) << std::flush;
  }
  bool failed() const { return failed_; }

 private:
  bool failed_ = false;
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
  if (parse_device(take(arguments, "--device", "cpu")).is_cuda())
    fail_input("--device", "amend_bench measures the CPU only so far: edits do not run on a GPU yet");
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  register_kernels(threads);
  register_edits(threads);
  register_sweeps(threads);
  benchmark::AddCustomContext("processor", processor_name());
  Table table;
  const std::size_t matched = benchmark::RunSpecifiedBenchmarks(&table);
  return matched == 0 || table.failed() ? 1 : 0;
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
