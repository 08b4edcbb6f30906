#include "bench/measure/short_run.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>

namespace amend::bench {

namespace {

/// Sets the number of OpenMP threads for its life.
class Threads {
 public:
  explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~Threads() { omp_set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

double relative_difference(const TensorView& narrow, const TensorView& wide) {
  double difference = 0.0, size = 0.0;
  for (std::int64_t i = 0; i < wide.count(); ++i) {
    const double exact = wide.as<double>()[i];
    difference = std::max(difference, std::abs(static_cast<double>(narrow.as<float>()[i]) - exact));
    size = std::max(size, std::abs(exact));
  }
  return size > 0.0 ? difference / size : difference;
}

}  // namespace

EditorSize editor_size(const Workload& workload) {
  return {.d = static_cast<double>(workload.edge_width),
          .h = static_cast<double>(workload.node_width),
          .messages = workload.messages,
          .passes = workload.passes};
}

double edit_error(const Workload& workload, int batch) {
  const auto narrow = EditCase(workload, batch).run(), wide = EditCase(workload, batch, DType::float64).run();
  double difference = 0.0, size = 0.0;
  for (std::size_t n = 0; n < wide.size(); ++n) {
    const auto &a = narrow[n].network.weights, &b = wide[n].network.weights;
    bool same_gates = true;
    double worst = 0.0;
    for (std::size_t i = 0; i < b.size(); ++i) {
      same_gates = same_gates && (a[i] == 0.0f) == (b[i] == 0.0f);
      worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
      size = std::max(size, std::abs(static_cast<double>(b[i])));
    }
    if (same_gates) difference = std::max(difference, worst);
  }
  return difference / size;
}

double message_error(const Workload& workload, int batch) {
  MessageCase narrow(workload, batch), wide(workload, batch, DType::float64);
  narrow.run();
  wide.run();
  return std::max(relative_difference(narrow.edge_out(), wide.edge_out()),
                  relative_difference(narrow.node_out(), wide.node_out()));
}

void ShortRun::run(const std::function<void(const Row&)>& done) {
  std::vector<int> counts{1};
  if (threads > 1) counts.push_back(threads);
  std::vector<int> batches{1};
  if (batch > 1) batches.push_back(batch);
  const auto watch = make_stopwatch(Stream());
  limits.clear();
  rows.clear();
  for (const int count : counts) limits.push_back(measure_limits(count));
  const auto add = [&](const std::string& name, int networks, const Cost& cost, double error,
                       const std::function<void()>& body) {
    for (const int count : counts) {
      const Threads scope(count);
      Row row{.name = name + ", " + std::to_string(networks) + (networks == 1 ? " network" : " networks"),
              .threads = count,
              .networks = static_cast<double>(networks),
              .cost = cost,
              .error = error};
      row.times = measure(*watch, body, {.seconds = seconds, .least_runs = 3});
      row.memory = peak_memory_bytes();
      rows.push_back(row);
      if (done) done(rows.back());
    }
  };
  for (const char* name : {"a", "b"}) {
    const Workload of = workload(name);
    const EditorSize size = editor_size(of);
    const std::string sizes = "D = H = " + std::to_string(of.edge_width) + ", K = " + std::to_string(of.messages);
    const double messages = message_error(of, 2), edit = edit_error(of, 2);
    for (const int networks : batches) {
      const BatchSize b = batch_size(of.widths, networks);
      {
        MessageCase which(of, networks);
        Cost cost{0, 0, "K message layers"};
        for (int k = 0; k < of.messages; ++k) cost += message_layer_cost(b, size);
        add("messages " + sizes, networks, cost, messages, [&] { which.run(); });
      }
      EditCase which(of, networks);
      add("edit " + sizes + ", T = " + std::to_string(of.passes), networks,
          edit_cost(b, size, static_cast<double>(of.probe_rows)), edit, [&] { (void)which.run(); });
    }
  }
}

nlohmann::ordered_json ShortRun::json() const {
  nlohmann::ordered_json result{{"processor", processor_name()},
                                {"limits", nlohmann::ordered_json::array()},
                                {"rows", nlohmann::ordered_json::array()}};
  for (const Limits& of : limits)
    result["limits"].push_back({{"threads", of.threads},
                                {"copy_bytes_per_second", of.copy_bytes},
                                {"gemm_operations_per_second", of.gemm_operations}});
  for (const Row& row : rows) {
    const Limits& of = limits_of(row, limits);
    result["rows"].push_back({{"name", row.name},
                              {"threads", row.threads},
                              {"networks", static_cast<std::int64_t>(row.networks)},
                              {"runs", row.times.runs},
                              {"median_seconds", row.times.median},
                              {"p5_seconds", row.times.p5},
                              {"p95_seconds", row.times.p95},
                              {"bytes", row.cost.bytes},
                              {"operations", row.cost.operations},
                              {"formula", row.cost.formula},
                              {"copy_share", copy_share(row, of)},
                              {"gemm_share", gemm_share(row, of)},
                              {"peak_memory_bytes", row.memory},
                              {"error", row.error}});
  }
  return result;
}

}  // namespace amend::bench
