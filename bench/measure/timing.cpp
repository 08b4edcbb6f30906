#include "bench/measure/timing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

#include "engine/copy.hpp"
#include "engine/cuda/runtime.hpp"
#include "engine/error.hpp"

namespace amend::bench {

namespace {

class WallClock final : public Stopwatch {
 public:
  explicit WallClock(Stream stream) : stream_(stream) {}

  void start() override {
    synchronise(stream_);
    start_ = std::chrono::steady_clock::now();
  }
  double stop() override {
    synchronise(stream_);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void flush_cache() override {
    if (buffer_.empty()) buffer_.resize(2 * last_level_cache_bytes());
    ++value_;
    for (std::size_t i = 0; i < buffer_.size(); i += 64) buffer_[i] = value_;
  }
  int launches(const std::function<void()>&) override { return 0; }

 private:
  Stream stream_;
  std::chrono::steady_clock::time_point start_;
  std::vector<char> buffer_;
  char value_ = 0;
};

}  // namespace

std::unique_ptr<Stopwatch> make_stopwatch(Stream stream, [[maybe_unused]] Launches launches) {
#ifdef AMEND_CUDA
  if (stream.device().is_cuda()) return make_cuda_stopwatch(stream, launches);
#endif
  check(!stream.device().is_cuda(), "stopwatch", "this build has no CUDA");
  return make_host_stopwatch(stream);
}

std::unique_ptr<Stopwatch> make_host_stopwatch(Stream stream) { return std::make_unique<WallClock>(stream); }

Limits measure_limits(Device device, int threads) {
  if (!device.is_cuda()) return measure_limits(threads);
#ifdef AMEND_CUDA
  Limits limits = measure_cuda_limits(device);
  limits.threads = threads;
  return limits;
#else
  fail("limits", "this build has no CUDA");
#endif
}

Times summarise(std::vector<double> samples) {
  check(!samples.empty(), "summarise", "expected at least one sample");
  std::sort(samples.begin(), samples.end());
  const auto rank = [&](double quantile) {
    return samples[static_cast<std::size_t>(quantile * static_cast<double>(samples.size() - 1) + 0.5)];
  };
  return {rank(0.5), rank(0.05), rank(0.95), static_cast<int>(samples.size())};
}

Times measure(Stopwatch& watch, const std::function<void()>& body, const MeasureOptions& options) {
  for (int run = 0; run < options.warmups; ++run) {
    watch.start();
    body();
    watch.stop();
  }
  std::vector<double> samples;
  double total = 0.0;
  while (static_cast<int>(samples.size()) < options.least_runs ||
         (total < options.seconds && static_cast<int>(samples.size()) < options.most_runs)) {
    if (options.cold) watch.flush_cache();
    watch.start();
    for (int call = 0; call < options.calls; ++call) body();
    const double seconds = watch.stop();
    samples.push_back(seconds / options.calls);
    total += seconds;
  }
  return summarise(std::move(samples));
}

std::size_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmHWM:") {
      std::size_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  return 0;
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(std::min(line.find(':') + 2, line.size()));
  return "unknown processor";
}

std::string device_name(Device device) {
#ifdef AMEND_CUDA
  if (device.is_cuda()) return cuda_device_name(device);
#endif
  check(!device.is_cuda(), "device_name", "this build has no CUDA");
  return processor_name();
}

double copy_share(const Row& row, const Limits& limits) {
  return row.cost.bytes / row.times.median / limits.copy_bytes;
}

double gemm_share(const Row& row, const Limits& limits) {
  const double rate = limits.operations(row.precision);
  return rate > 0.0 ? row.cost.operations / row.times.median / rate : 0.0;
}

double Limits::operations(kernels::Precision precision) const {
  switch (precision) {
    case kernels::Precision::tf32: return tf32_operations;
    case kernels::Precision::bf16: return bf16_operations;
    default: return gemm_operations;
  }
}

MemoryUse::MemoryUse(Device device)
    : device_(device), free_(device.is_cuda() ? cuda::memory_info(device.index).free : 0) {}

std::size_t MemoryUse::bytes() const {
  if (!device_.is_cuda()) return peak_memory_bytes();
  const std::size_t free = cuda::memory_info(device_.index).free;
  return free < free_ ? free_ - free : 0;
}

const Limits& limits_of(const Row& row, const std::vector<Limits>& limits) {
  for (const Limits& of : limits)
    if (of.threads == row.threads) return of;
  fail("benchmark", "no limits were measured with ", row.threads, " threads");
}

namespace {

std::string describe(const Limits& of) {
  if (of.device.empty())
    return fmt::format("{} thread{}: copies {:.1f} GB/s, float32 products {:.1f} GFLOP/s\n", of.threads,
                       of.threads == 1 ? "" : "s", of.copy_bytes / 1e9, of.gemm_operations / 1e9);
  const std::string products =
      of.gemm_operations == 0.0
          ? "products were not measured: there is no cuBLAS"
          : fmt::format("products in float32 {:.1f}, tf32 {:.1f}, bf16 {:.1f} TFLOP/s", of.gemm_operations / 1e12,
                        of.tf32_operations / 1e12, of.bf16_operations / 1e12);
  return fmt::format("{}: copies {:.1f} GB/s, {}, an empty kernel {:.1f} us\n", of.device, of.copy_bytes / 1e9,
                     products, 1e6 * of.launch_seconds);
}

}  // namespace

std::string format_table(const std::vector<Row>& rows, const std::vector<Limits>& limits) {
  std::string text = processor_name() + "\n";
  for (const Limits& of : limits) text += describe(of);
  const bool on_device = std::any_of(limits.begin(), limits.end(), [](const Limits& of) { return !of.device.empty(); });
  std::size_t width = 9;
  for (const Row& row : rows) width = std::max(width, row.name.size());
  text += fmt::format("\n{:<{}} {:>7} {:>10} {:>9} {:>9} {:>10} {:>9} {:>9} {:>7} {:>6} {:>8} {:>6} {:>8} {:>8}{}\n",
                      "benchmark", width, "threads", "median ms", "p5", "p95", "ms/network", "MB", "MFLOP", "GB/s",
                      "% copy", "GFLOP/s", "% GEMM", "peak MB", "error", on_device ? " kernels" : "");
  for (const Row& row : rows) {
    if (!row.note.empty()) {
      text += fmt::format("{:<{}} {}\n", row.name, width, row.note);
      continue;
    }
    const Limits& of = limits_of(row, limits);
    const double seconds = row.times.median;
    text += fmt::format(
        "{:<{}} {:>7} {:>10.4f} {:>9.4f} {:>9.4f} {:>10.{}f} {:>9.3f} {:>9.2f} {:>7.2f} {:>6.1f} {:>8.2f} {:>6.1f} "
        "{:>8.1f} "
        "{:>8}{}\n",
        row.name, width, row.threads, 1e3 * seconds, 1e3 * row.times.p5, 1e3 * row.times.p95,
        1e3 * seconds / row.networks, on_device ? 7 : 4, row.cost.bytes / 1e6, row.cost.operations / 1e6,
        row.cost.bytes / seconds / 1e9, 100.0 * copy_share(row, of), row.cost.operations / seconds / 1e9,
        100.0 * gemm_share(row, of), static_cast<double>(row.memory) / 1e6,
        row.error < 0.0 ? "" : fmt::format("{:.1e}", row.error),
        on_device ? fmt::format(" {:>7}", row.launches > 0 ? std::to_string(row.launches) : "") : "");
  }
  return text;
}

}  // namespace amend::bench
