#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/cost.hpp"
#include "engine/stream.hpp"

namespace amend::bench {

/// Times one piece of work at a time on a stream's device: the wall clock on a CPU, events on a GPU.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void start() = 0;
  /// Seconds since `start`; waits for the device.
  virtual double stop() = 0;
  /// Overwrites the last-level cache, so that what is timed next starts cold.
  virtual void flush_cache() = 0;
  /// Kernels that `body` puts on the stream; 0 on a CPU.
  virtual int launches(const std::function<void()>& body) = 0;
};

std::unique_ptr<Stopwatch> make_stopwatch(Stream stream);
/// Only in a build with CUDA.
std::unique_ptr<Stopwatch> make_cuda_stopwatch(Stream stream);

/// Seconds a run, of sorted runs.
struct Times {
  double median = 0.0, p5 = 0.0, p95 = 0.0;
  int runs = 0;
};

/// Nearest-rank quantiles of at least one sample.
Times summarise(std::vector<double> samples);

struct MeasureOptions {
  double seconds = 0.3;  // of runs, after one that is not counted
  int least_runs = 5, most_runs = 1000;
  bool cold = false;  // the cache is flushed before every run
};

Times measure(Stopwatch& watch, const std::function<void()>& body, const MeasureOptions& options = {});

/// What this machine can do, measured with `threads` threads in this process: the rates that shares are of.
struct Limits {
  int threads = 1;
  double copy_bytes = 0.0;  // a second, read and written bytes together, of a copy larger than the last-level cache
  double gemm_operations = 0.0;  // a second, of float32 products of the library at a size that suits it
};

/// The best of a few runs of each: interruptions only ever slow them down. A second or so.
Limits measure_limits(int threads);

/// Of the whole process so far; 0 where the system does not say.
std::size_t peak_memory_bytes();

/// Bytes of the largest cache of the processor; 32 MiB where the system does not say.
std::size_t last_level_cache_bytes();

/// The processor's name as the system gives it, or `unknown processor`.
std::string processor_name();

/// One measured line of a table.
struct Row {
  std::string name;
  int threads = 1;
  double networks = 1.0;
  Times times;
  Cost cost;
  double error = -1.0;     // relative to float64; below 0: not compared
  std::size_t memory = 0;  // peak bytes
};

/// Bytes and operations a second as shares of the limits.
double copy_share(const Row& row, const Limits& limits);
double gemm_share(const Row& row, const Limits& limits);

/// The rows as text, with what was measured of the machine first.
std::string format_table(const std::vector<Row>& rows, const std::vector<Limits>& limits);

/// The limits that belong to a row's number of threads. Throws Error when there are none.
const Limits& limits_of(const Row& row, const std::vector<Limits>& limits);

}  // namespace amend::bench
