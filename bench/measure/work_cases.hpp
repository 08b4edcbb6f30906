#pragma once

#include <vector>

#include "bench/measure/case.hpp"
#include "bench/measure/workload.hpp"

namespace amend::bench {

/// Where an edit begins and ends: with weights of the host, or on the device. On the CPU both are one.
enum class EditFrom { host, device };

/// Whole edits, in pieces of `chunk` networks; 0: at once.
Family edit_family(const Workload& workload, EditFrom from, int chunk = 0);
/// The same on a device, with the time until the result is there for one who waits for it.
Family edit_latency_family(const Workload& workload);
/// The K message layers of an edit.
Family message_family(const Workload& workload);
/// Steps as a trainer makes them: on a device several in a row, which the host prepares meanwhile.
Family training_family(const Workload& workload);

/// Training of networks of these widths: `steps` steps of `rows` rows for each, host memory to host memory.
struct PopulationSize {
  std::vector<int> widths{104, 32, 16, 2};
  int steps = 50, rows = 128;
};
Family population_family(const PopulationSize& size);

}  // namespace amend::bench
