#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "bench/measure/timing.hpp"
#include "engine/tensor.hpp"
#include "kernels/precision.hpp"

namespace amend::bench {

/// Work that is ready to run again and again.
struct Case {
  std::shared_ptr<void> keep;  // what `run` works on
  std::function<void()> run;
  std::vector<TensorView> outputs;  // compared with those of the same case in float64
  std::size_t memory = 0;           // bytes of its tensors; 0: what memory it takes is measured
  Stream stream;                    // that `run` queues its work on
  /// By the host's clock, from an idle device to an idle device: work that the host has a part in.
  bool host_clock = false;
  int calls = 1;                  // of `run` in a row for one time
  std::function<int()> launches;  // kernels a call; absent: counted by capturing `run`
};

/// A row to be: `make` builds the case for so many networks on the device of the stream. Type float64 asks for the
/// reference: on the CPU, in float64 throughout, whatever precision the family is of.
struct Family {
  std::function<Case(DType, int networks, Stream)> make;
  std::function<Cost(int networks)> cost;
  std::function<double(Device)> error = {};  // instead of comparing outputs
  bool comparable = true;                    // whether there is a float64 twin
  kernels::Precision precision = kernels::Precision::float32;
};

/// Networks of which a case is compared with float64: enough for several blocks, few enough for large shapes.
inline constexpr int kComparedNetworks = 2;

/// Largest difference of the outputs from the CPU's in float64, relative to the largest value of each; below 0 when
/// there is nothing to compare with.
double error_of(const Family& family, Stream stream);

/// Largest difference of host tensors, `wide` of float64, relative to the largest value of `wide`; not finite when a
/// value of `narrow` is not.
double relative_difference(const TensorView& narrow, const TensorView& wide);

}  // namespace amend::bench
