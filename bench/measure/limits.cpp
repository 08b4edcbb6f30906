// The two rates everything is held against. Both use all the threads asked for at once, each on memory it has touched
// first itself.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "bench/measure/timing.hpp"
#include "engine/error.hpp"
#include "kernels/cpu/gemm.hpp"

namespace amend::bench {

namespace {

/// Seconds that all threads together take for `body(thread)`, the best of `runs`.
double best_seconds(int threads, int runs, const std::function<void(int)>& body) {
  double best = 1e30;
  for (int run = 0; run < runs; ++run) {
    double seconds = 0.0;
#pragma omp parallel num_threads(threads)
    {
#pragma omp barrier
      const auto start = std::chrono::steady_clock::now();
      body(omp_get_thread_num());
      const double own = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
#pragma omp critical(amend_bench_limits)
      seconds = std::max(seconds, own);
    }
    best = std::min(best, seconds);
  }
  return best;
}

}  // namespace

std::size_t last_level_cache_bytes() {
  std::size_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    std::size_t size = 0;
    char unit = 0;
    if (!(file >> size)) continue;
    file >> unit;
    largest = std::max(largest, size * (unit == 'M' ? 1u << 20 : unit == 'K' ? 1u << 10 : 1u));
  }
  return largest ? largest : std::size_t{32} << 20;
}

Limits measure_limits(int threads) {
  check(threads >= 1, "measure_limits", "expected at least one thread, got ", threads);
  Limits limits{.threads = threads};
  {
    const std::size_t bytes =
        std::max<std::size_t>(2 * last_level_cache_bytes() / static_cast<std::size_t>(threads), std::size_t{16} << 20);
    std::vector<std::unique_ptr<char[]>> from(static_cast<std::size_t>(threads)), to(from.size());
    const auto copy = [&](int thread) {
      const auto t = static_cast<std::size_t>(thread);
      std::memcpy(to[t].get(), from[t].get(), bytes);
    };
    best_seconds(threads, 1, [&](int thread) {
      const auto t = static_cast<std::size_t>(thread);
      from[t].reset(new char[bytes]);
      to[t].reset(new char[bytes]);
      std::memset(from[t].get(), 1, bytes);
      std::memset(to[t].get(), 2, bytes);
    });
    limits.copy_bytes = 2.0 * static_cast<double>(bytes) * threads / best_seconds(threads, 8, copy);
  }
  constexpr std::int64_t kSize = 384;  // three operands of half a megabyte
  std::vector<std::vector<float>> operands(static_cast<std::size_t>(threads));
  best_seconds(threads, 1,
               [&](int thread) { operands[static_cast<std::size_t>(thread)].assign(3 * kSize * kSize, 0.5f); });
  constexpr int kRepeats = 4;
  const auto seconds_of = [&](const auto& product) {
    return best_seconds(threads, 12, [&](int thread) {
      float* a = operands[static_cast<std::size_t>(thread)].data();
      for (int k = 0; k < kRepeats; ++k)
        product(kernels::cpu::Trans::no, kernels::cpu::Trans::yes, kSize, kSize, kSize, 1.0f, a, kSize,
                a + kSize * kSize, kSize, 0.0f, a + 2 * kSize * kSize, kSize);
    });
  };
  // Where the library does not know the processor ours are faster, and its rate would flatter every share of it.
  const double seconds = std::min(seconds_of(kernels::cpu::library_gemm),
                                  seconds_of([](auto... arguments) { kernels::cpu::gemm(arguments...); }));
  limits.gemm_operations = 2.0 * static_cast<double>(kSize * kSize * kSize) * kRepeats * threads / seconds;
  return limits;
}

}  // namespace amend::bench
