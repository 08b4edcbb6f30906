#pragma once

#include <string>

#include "engine/device.hpp"
#include "engine/parallel.hpp"

namespace CLI {
class App;
}

namespace amend {

/// `--device` and `--threads`, which every command that computes has.
struct ComputeOptions {
  std::string device = "cpu";  // until a GPU has run the CUDA kernels, they are for those who ask
  int threads = 0;             // 0: as many as OpenMP gives

  void add_to(CLI::App& command);
  Device parsed() const { return parse_device(device); }
};

/// Gives OpenMP the number of threads asked for, and the old one back.
class ThreadScope : ThreadCount {
 public:
  explicit ThreadScope(const ComputeOptions& options) : ThreadCount(options.threads) {}
};

}  // namespace amend
