#pragma once

#include <string>
#include <vector>

#include "bench/measure/case.hpp"

namespace amend::bench {

/// A row of amend_bench.
struct RowPlan {
  std::string name;  // with the number of networks
  Family family;
  int networks = 1;
  int threads = 1;
  bool cold = false;
};

/// Every row of the CPU with at most so many threads.
std::vector<RowPlan> cpu_rows(int threads);
/// Every row of a GPU. `threads`: of the host.
std::vector<RowPlan> device_rows(int threads);

}  // namespace amend::bench
