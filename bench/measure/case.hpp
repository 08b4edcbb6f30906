#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "bench/measure/timing.hpp"
#include "engine/tensor.hpp"

namespace amend::bench {

/// Work that is ready to run again and again.
struct Case {
  std::shared_ptr<void> keep;  // what `run` works on
  std::function<void()> run;
  std::vector<TensorView> outputs;  // compared with those of the same case in float64
  std::size_t memory = 0;           // bytes of its tensors; 0: the process's peak counts
};

/// A row to be: `make` builds the case for so many networks.
struct Family {
  std::function<Case(DType, int networks)> make;
  std::function<Cost(int networks)> cost;
  std::function<double()> error;  // instead of comparing outputs
  bool comparable = true;         // whether there is a float64 twin
};

/// Networks of which a case is compared with float64: enough for several blocks, few enough for large shapes.
inline constexpr int kComparedNetworks = 2;

/// Largest difference of the outputs from float64, relative to the largest value of each.
double error_of(const Family& family);

/// Sizes of the kernels' cases.
struct KernelSize {
  std::vector<int> widths{104, 32, 16, 2};
  std::int64_t d = 64, h = 64, rows = 512;
};

Family edge_update_forward_family(const KernelSize& size);
Family edge_update_backward_family(const KernelSize& size);
Family edit_head_family(const KernelSize& size);
Family probe_family(const KernelSize& size);
Family subject_forward_family(const KernelSize& size);
Family subject_backward_family(const KernelSize& size);
Family divergence_family(const KernelSize& size);
Family gate_family(const KernelSize& size);
Family adamw_family(std::int64_t parameters);

}  // namespace amend::bench
