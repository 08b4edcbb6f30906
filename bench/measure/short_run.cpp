#include "bench/measure/short_run.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>

#include "bench/measure/measure_row.hpp"
#include "bench/measure/work_cases.hpp"
#include "engine/copy.hpp"
#include "engine/stream_owner.hpp"

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

}  // namespace

EditorSize editor_size(const Workload& workload) {
  return {.d = static_cast<double>(workload.edge_width),
          .h = static_cast<double>(workload.node_width),
          .messages = workload.messages,
          .passes = workload.passes};
}

double edit_error(const Workload& workload, int batch, Device device) {
  const auto narrow = EditCase(workload, batch, DType::float32, device).run(),
             wide = EditCase(workload, batch, DType::float64).run();
  double difference = -1.0, size = 0.0;
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
  return difference < 0.0 ? -1.0 : difference / size;
}

double message_error(const Workload& workload, int batch, Device device) {
  MessageCase narrow(workload, batch, DType::float32, device), wide(workload, batch, DType::float64);
  narrow.run();
  wide.run();
  const auto difference = [&](const TensorView& a, const TensorView& b) {
    return relative_difference(host_copy(a, narrow.stream()), b);
  };
  return std::max(difference(narrow.edge_out(), wide.edge_out()), difference(narrow.node_out(), wide.node_out()));
}

void ShortRun::run(const std::function<void(const Row&)>& done) {
  const bool on_device = device.is_cuda();
  std::vector<int> counts{on_device ? threads : 1};
  if (threads > counts.back()) counts.push_back(threads);
  std::vector<int> batches{1};
  if (batch > 1) batches.push_back(batch);
  const StreamOwner stream(device);
  limits.clear();
  rows.clear();
  for (const int count : counts) limits.push_back(measure_limits(device, count));
  const auto add = [&](const std::string& name, int networks, const Family& family) {
    for (const int count : counts) {
      const Threads scope(count);
      Row row = measure_row(family, networks, stream, {.seconds = seconds, .least_runs = 3});
      row.name = name + ", " + std::to_string(networks) + (networks == 1 ? " network" : " networks");
      row.threads = count;
      rows.push_back(row);
      if (done) done(rows.back());
    }
  };
  for (const char* name : {"a", "b"}) {
    const Workload of = workload(name);
    const std::string messages = "D = H = " + std::to_string(of.edge_width) + ", K = " + std::to_string(of.messages),
                      edits = messages + ", T = " + std::to_string(of.passes);
    const Family layers = message_family(of), edit = edit_family(of, EditFrom::device),
                 whole = edit_family(of, EditFrom::host);
    for (const int networks : batches) {
      add("messages " + messages, networks, layers);
      add("edit " + edits, networks, edit);
      if (on_device) add("edit " + edits + ", from and to the host", networks, whole);
    }
  }
}

nlohmann::ordered_json ShortRun::json() const {
  nlohmann::ordered_json result{{"processor", processor_name()},
                                {"device", to_string(device)},
                                {"limits", nlohmann::ordered_json::array()},
                                {"rows", nlohmann::ordered_json::array()}};
  for (const Limits& of : limits) {
    result["limits"].push_back({{"threads", of.threads},
                                {"copy_bytes_per_second", of.copy_bytes},
                                {"gemm_operations_per_second", of.gemm_operations}});
    if (of.device.empty()) continue;
    result["device_name"] = of.device;
    result["limits"].back().update(
        {{"tf32_operations_per_second", of.tf32_operations}, {"bf16_operations_per_second", of.bf16_operations}});
  }
  for (const Row& row : rows) {
    if (!row.note.empty()) {
      result["rows"].push_back({{"name", row.name}, {"note", row.note}});
      continue;
    }
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
    if (device.is_cuda()) result["rows"].back()["launches"] = row.launches;
  }
  return result;
}

}  // namespace amend::bench
