#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/measure/timing.hpp"
#include "bench/measure/workload.hpp"

namespace amend::bench {

EditorSize editor_size(const Workload& workload);

/// Largest difference of work on `device` from the CPU's in float64, relative to the largest value. Of an edit the
/// networks are left out in which a gate falls on the other side: a logit within rounding of 0 may; -1 when that is
/// all.
double edit_error(const Workload& workload, int batch, Device device = Device::cpu());
double message_error(const Workload& workload, int batch, Device device = Device::cpu());

/// What `amend bench` measures.
struct ShortRun {
  Device device;
  int threads = 1;       // at most; on the CPU one thread is always measured too
  int batch = 64;        // networks of the larger batch; the other is one network
  double seconds = 0.5;  // a row, at least
  std::vector<Limits> limits;
  std::vector<Row> rows;

  /// Message layers and whole edits of both workloads; `done` hears of every row. On a device edits are measured there
  /// and, in rows of their own, from and to the host.
  void run(const std::function<void(const Row&)>& done = {});
  nlohmann::ordered_json json() const;
};

}  // namespace amend::bench
