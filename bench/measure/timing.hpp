#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/cost.hpp"
#include "engine/stream.hpp"
#include "kernels/precision.hpp"

namespace amend::bench {

/// Times one piece of work at a time on a stream's device: the wall clock on a CPU, events on a GPU. There the work is
/// queued, not waited for, behind a pause of the device: what counts is the time of the device, not how fast the host
/// launches.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void start() = 0;
  /// Seconds since `start`; waits for the device.
  virtual double stop() = 0;
  /// Overwrites the last-level cache, so that what is timed next starts cold.
  virtual void flush_cache() = 0;
  /// Kernels that `body`, which has run before and does nothing but queue work, puts on the stream; 0 on a CPU.
  virtual int launches(const std::function<void()>& body) = 0;
};

/// Whether the time of a GPU contains that of the host's launches, where the device waits for them.
enum class Launches { hidden, counted };

std::unique_ptr<Stopwatch> make_stopwatch(Stream stream, Launches launches = Launches::hidden);
/// The host's clock, from an idle stream to an idle stream.
std::unique_ptr<Stopwatch> make_host_stopwatch(Stream stream);
/// Only in a build with CUDA.
std::unique_ptr<Stopwatch> make_cuda_stopwatch(Stream stream, Launches launches = Launches::hidden);

/// Seconds a run, of sorted runs.
struct Times {
  double median = 0.0, p5 = 0.0, p95 = 0.0;
  int runs = 0;
};

/// Nearest-rank quantiles of at least one sample.
Times summarise(std::vector<double> samples);

struct MeasureOptions {
  double seconds = 0.3;  // of runs, after those that are not counted
  int least_runs = 5, most_runs = 1000;
  bool cold = false;  // the cache is flushed before every run
  int warmups = 1;    // runs that are not counted
  int calls = 1;      // of the body a run; a time is that of one call
};

/// Runs of work on `device` that are not counted: on a GPU memory, then a graph, has to be in place.
inline int warmups_on(Device device) { return device.is_cuda() ? 4 : 1; }

Times measure(Stopwatch& watch, const std::function<void()>& body, const MeasureOptions& options = {});

/// What this machine can do, measured with `threads` threads in this process: the rates that shares are of.
struct Limits {
  int threads = 1;
  double copy_bytes = 0.0;  // a second, read and written bytes together, of a copy larger than the last-level cache
  double gemm_operations = 0.0;  // a second, of float32 products, the library's or ours, at a size that suits them
  // Of a GPU: its name, and products on tensor cores; 0: there is no cuBLAS to measure them with.
  std::string device = {};
  double tf32_operations = 0.0, bf16_operations = 0.0;
  double launch_seconds = 0.0;  // of a kernel that does nothing: no kernel's time is below it

  double operations(kernels::Precision precision) const;
};

/// The best of a few runs of each: interruptions only ever slow them down. A second or so.
Limits measure_limits(int threads);
/// Those of a device, the CPU with `threads` threads.
Limits measure_limits(Device device, int threads);
/// Only in a build with CUDA: copies within the device's memory, products of cuBLAS.
Limits measure_cuda_limits(Device device);

/// Of the whole process so far; 0 where the system does not say.
std::size_t peak_memory_bytes();

/// Of a GPU as the driver gives it, of the CPU as `processor_name`.
std::string device_name(Device device);
/// Only in a build with CUDA.
std::string cuda_device_name(Device device);

/// Memory that work takes up from now on: on a GPU what of it becomes used, whoever uses it; otherwise that of the
/// process so far.
class MemoryUse {
 public:
  explicit MemoryUse(Device device);
  std::size_t bytes() const;

 private:
  Device device_;
  std::size_t free_ = 0;
};

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
  kernels::Precision precision = kernels::Precision::float32;
  int launches = 0;       // kernels; 0: not counted
  std::string note = {};  // why there are no times
};

/// Bytes and operations a second as shares of the limits; of operations of the rate of the row's precision, 0 where
/// that is not known.
double copy_share(const Row& row, const Limits& limits);
double gemm_share(const Row& row, const Limits& limits);

/// The rows as text, with what was measured of the machine first.
std::string format_table(const std::vector<Row>& rows, const std::vector<Limits>& limits);

/// The limits that belong to a row's number of threads. Throws Error when there are none.
const Limits& limits_of(const Row& row, const std::vector<Limits>& limits);

}  // namespace amend::bench
