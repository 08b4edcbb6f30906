// Events around the work on a stream; the L2 cache is flushed by overwriting twice its size.
#include <cuda_runtime_api.h>

#include "bench/measure/timing.hpp"
#include "engine/cuda/check.hpp"

namespace amend::bench {

namespace {

class EventClock final : public Stopwatch {
 public:
  explicit EventClock(Stream stream) : stream_(static_cast<cudaStream_t>(stream.handle())) {
    AMEND_CUDA_CHECK(cudaSetDevice(stream.device().index));
    AMEND_CUDA_CHECK(cudaEventCreate(&start_));
    AMEND_CUDA_CHECK(cudaEventCreate(&stop_));
    int l2 = 0;
    AMEND_CUDA_CHECK(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, stream.device().index));
    bytes_ = 2 * static_cast<std::size_t>(l2);
    AMEND_CUDA_CHECK(cudaMalloc(&buffer_, bytes_));
  }
  ~EventClock() override {
    cudaFree(buffer_);
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }
  EventClock(const EventClock&) = delete;
  EventClock& operator=(const EventClock&) = delete;

  void start() override { AMEND_CUDA_CHECK(cudaEventRecord(start_, stream_)); }
  double stop() override {
    AMEND_CUDA_CHECK(cudaEventRecord(stop_, stream_));
    AMEND_CUDA_CHECK(cudaEventSynchronize(stop_));
    float milliseconds = 0.0f;
    AMEND_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start_, stop_));
    return 1e-3 * static_cast<double>(milliseconds);
  }
  void flush_cache() override { AMEND_CUDA_CHECK(cudaMemsetAsync(buffer_, ++value_ & 0xff, bytes_, stream_)); }

  /// Captured, not run: the kernel nodes of the graph.
  int launches(const std::function<void()>& body) override {
    cudaGraph_t graph = nullptr;
    AMEND_CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    body();
    AMEND_CUDA_CHECK(cudaStreamEndCapture(stream_, &graph));
    std::size_t count = 0;
    AMEND_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &count));
    std::vector<cudaGraphNode_t> nodes(count);
    AMEND_CUDA_CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
    int kernels = 0;
    for (const cudaGraphNode_t node : nodes) {
      cudaGraphNodeType type{};
      AMEND_CUDA_CHECK(cudaGraphNodeGetType(node, &type));
      kernels += type == cudaGraphNodeTypeKernel;
    }
    AMEND_CUDA_CHECK(cudaGraphDestroy(graph));
    return kernels;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
  void* buffer_ = nullptr;
  std::size_t bytes_ = 0;
  int value_ = 0;
};

}  // namespace

std::unique_ptr<Stopwatch> make_cuda_stopwatch(Stream stream) { return std::make_unique<EventClock>(stream); }

}  // namespace amend::bench
