// The rates of a GPU that everything is held against: copies within its memory, and square products of cuBLAS in the
// three precisions, all timed by events with nothing to wait for.
#include <algorithm>

#include "bench/measure/cuda/matrix_library.hpp"
#include "bench/measure/timing.hpp"
#include "engine/copy.hpp"
#include "engine/cuda/check.hpp"
#include "engine/cuda/runtime.hpp"
#include "engine/memory.hpp"
#include "engine/stream_owner.hpp"

namespace amend::bench {

namespace {

/// Numbers of either sign between 0.5 and 2 whatever type of float they are read as: products of zeros would be faster,
/// because they take less power.
__global__ void fill_operand(std::uint32_t* words, std::int64_t count) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    std::uint32_t x = static_cast<std::uint32_t>(i) * 0x9E3779B9u;
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    x ^= x >> 16;
    words[i] = (x & 0x80ff80ffu) | 0x3f003f00u;
  }
}

__global__ void do_nothing() {}

/// The shortest of `runs` times: interruptions only ever slow it down.
double best_seconds(Stopwatch& watch, int runs, const std::function<void()>& body) {
  double best = 1e30;
  for (int run = 0; run < runs + 2; ++run) {
    watch.start();
    body();
    const double seconds = watch.stop();
    if (run >= 2) best = std::min(best, seconds);
  }
  return best;
}

}  // namespace

Limits measure_cuda_limits(Device device) {
  const StreamOwner stream(device);
  const auto watch = make_cuda_stopwatch(stream);
  Limits limits{.device = cuda_device_name(device)};
  limits.launch_seconds = best_seconds(*watch, 20, [&] {
    do_nothing<<<1, 32, 0, static_cast<cudaStream_t>(stream.get().handle())>>>();
    AMEND_CUDA_CHECK(cudaGetLastError());
  });
  const std::size_t free = cuda::memory_info(device.index).free;
  {
    const std::size_t bytes = std::min(std::size_t{1} << 30, free / 8) / kAlignment * kAlignment;
    const auto from = allocate(bytes, device), to = allocate(bytes, device);
    const double seconds =
        best_seconds(*watch, 10, [&] { cuda::copy(to.get(), from.get(), bytes, cuda::Copy::on_device, stream); });
    limits.copy_bytes = 2.0 * static_cast<double>(bytes) / seconds;
  }
  MatrixLibrary library(stream);
  if (!library) return limits;
  std::int64_t size = 8192;
  while (size > 512 && 16 * static_cast<std::size_t>(size * size) > free) size /= 2;
  const std::int64_t count = size * size;
  const auto matrix = [&] { return allocate(static_cast<std::size_t>(count) * sizeof(float), device); };
  const auto a = matrix(), b = matrix(), c = matrix();
  for (const auto& operand : {a, b}) {
    fill_operand<<<1024, 256, 0, static_cast<cudaStream_t>(stream.get().handle())>>>(
        static_cast<std::uint32_t*>(operand.get()), count);
    AMEND_CUDA_CHECK(cudaGetLastError());
  }
  const auto rate = [&](kernels::Precision precision) {
    const double seconds =
        best_seconds(*watch, 8, [&] { library.multiply(precision, size, a.get(), b.get(), c.get()); });
    return 2.0 * static_cast<double>(size) * static_cast<double>(count) / seconds;
  };
  limits.gemm_operations = rate(kernels::Precision::float32);
  limits.tf32_operations = rate(kernels::Precision::tf32);
  limits.bf16_operations = rate(kernels::Precision::bf16);
  return limits;
}

}  // namespace amend::bench
