// Events around the work on a stream. Before the first of them the device spins for a while, so that the host has
// queued the work, and the second event, before the device comes to it: no launch is waited for. The spell grows until
// that holds. The L2 cache is flushed by overwriting twice its size.
#include <cuda_runtime_api.h>

#include <algorithm>

#include "bench/measure/timing.hpp"
#include "engine/cuda/check.hpp"
#include "engine/cuda/runtime.hpp"
#include "engine/graph_cache.hpp"

namespace amend::bench {

namespace {

__global__ void spin(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {
  }
}

/// Beyond it work is too long for the host's part to matter.
constexpr double kLongestSpell = 4e-3;

class EventClock final : public Stopwatch {
 public:
  EventClock(Stream stream, Launches launches)
      : index_(stream.device().index),
        on_(stream),
        stream_(static_cast<cudaStream_t>(stream.handle())),
        spell_(launches == Launches::hidden ? 5e-5 : 0.0) {
    AMEND_CUDA_CHECK(cudaSetDevice(index_));
    AMEND_CUDA_CHECK(cudaEventCreate(&start_));
    AMEND_CUDA_CHECK(cudaEventCreate(&stop_));
    int kilohertz = 0;
    AMEND_CUDA_CHECK(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, index_));
    cycles_a_second_ = 1e3 * static_cast<double>(kilohertz > 0 ? kilohertz : 1'500'000);
  }
  ~EventClock() override {
    cudaFree(buffer_);
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }
  EventClock(const EventClock&) = delete;
  EventClock& operator=(const EventClock&) = delete;

  void start() override {
    if (spell_ > 0.0) {
      spin<<<1, 1, 0, stream_>>>(static_cast<long long>(spell_ * cycles_a_second_));
      AMEND_CUDA_CHECK(cudaGetLastError());
    }
    AMEND_CUDA_CHECK(cudaEventRecord(start_, stream_));
  }
  double stop() override {
    AMEND_CUDA_CHECK(cudaEventRecord(stop_, stream_));
    const bool late = cudaEventQuery(start_) == cudaSuccess;  // the device was there before all was queued
    (void)cudaGetLastError();                                 // `not ready` is an answer
    if (late) spell_ = std::min(2 * spell_, kLongestSpell);
    AMEND_CUDA_CHECK(cudaEventSynchronize(stop_));
    float milliseconds = 0.0f;
    AMEND_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start_, stop_));
    return 1e-3 * static_cast<double>(milliseconds);
  }
  void flush_cache() override {
    if (buffer_ == nullptr) {
      int l2 = 0;
      AMEND_CUDA_CHECK(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, index_));
      bytes_ = 2 * static_cast<std::size_t>(l2);
      AMEND_CUDA_CHECK(cudaMalloc(&buffer_, bytes_));
    }
    value_ = (value_ + 1) & 0xff;
    AMEND_CUDA_CHECK(cudaMemsetAsync(buffer_, value_, bytes_, stream_));
  }

  /// Captured, not run.
  int launches(const std::function<void()>& body) override {
    int kernels = 0;
    cuda::destroy_graph(capture_graph(on_, body, &kernels));
    return kernels;
  }

 private:
  int index_;
  Stream on_;
  cudaStream_t stream_;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
  double spell_, cycles_a_second_ = 0.0;
  void* buffer_ = nullptr;
  std::size_t bytes_ = 0;
  int value_ = 0;
};

}  // namespace

std::unique_ptr<Stopwatch> make_cuda_stopwatch(Stream stream, Launches launches) {
  return std::make_unique<EventClock>(stream, launches);
}

std::string cuda_device_name(Device device) {
  cudaDeviceProp properties;
  AMEND_CUDA_CHECK(cudaGetDeviceProperties(&properties, device.index));
  return properties.name;
}

}  // namespace amend::bench
