#include "engine/cuda/runtime.hpp"

#include <vector>

#include "engine/cuda/check.hpp"
#include "engine/cuda/workspace.hpp"
#include "engine/out_of_memory.hpp"

namespace amend::cuda {

namespace {

cudaStream_t handle_of(Stream stream) { return static_cast<cudaStream_t>(stream.handle()); }

/// Gives back what stream-ordered allocations have freed and the pool still holds.
void trim_pool(int index) {
  cudaMemPool_t pool = nullptr;
  if (cudaDeviceGetDefaultMemPool(&pool, index) == cudaSuccess) {
    (void)cudaDeviceSynchronize();
    (void)cudaMemPoolTrimTo(pool, 0);
  }
  (void)cudaGetLastError();
}

/// Makes a device the thread's current one for a while: whoever asks about one, or frees its memory, may be in the
/// middle of work on another.
class OnDevice {
 public:
  explicit OnDevice(int index) noexcept {
    if (cudaGetDevice(&before_) != cudaSuccess || before_ == index) before_ = -1;
    (void)cudaSetDevice(index);  // an error returns with what is done there
  }
  ~OnDevice() {
    if (before_ >= 0) (void)cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = -1;
};

int kernel_nodes(cudaGraph_t graph) {
  std::size_t count = 0;
  AMEND_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  if (count > 0) AMEND_CUDA_CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
  int kernels = 0;
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    AMEND_CUDA_CHECK(cudaGraphNodeGetType(node, &type));
    kernels += type == cudaGraphNodeTypeKernel;
  }
  return kernels;
}

}  // namespace

void make_current(int index) { AMEND_CUDA_CHECK(cudaSetDevice(index)); }

MemoryInfo memory_info(int index) {
  const OnDevice device(index);
  MemoryInfo info;
  AMEND_CUDA_CHECK(cudaMemGetInfo(&info.free, &info.total));
  return info;
}

void* allocate(std::size_t bytes, int index) {
  make_current(index);
  void* memory = nullptr;
  cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    trim_pool(index);
    status = cudaMalloc(&memory, bytes);
  }
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  require(status, "cudaMalloc");
  // On the default stream, for which the streams of this engine do not wait.
  AMEND_CUDA_CHECK(cudaMemset(memory, 0, bytes));
  AMEND_CUDA_CHECK(cudaStreamSynchronize(nullptr));
  return memory;
}

void release(void* memory, int index) noexcept {
  const OnDevice device(index);
  (void)cudaFree(memory);
  (void)cudaGetLastError();  // at the end of the program the driver may be gone
}

void* allocate_pinned(std::size_t bytes, int index) {
  make_current(index);
  void* memory = nullptr;
  if (const cudaError_t status = cudaMallocHost(&memory, bytes); status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    throw OutOfMemory(bytes, Device::cpu());
  } else {
    require(status, "cudaMallocHost");
  }
  return memory;
}

void release_pinned(void* memory, int) noexcept {
  (void)cudaFreeHost(memory);
  (void)cudaGetLastError();
}

void* create_stream(int index) {
  make_current(index);
  cudaStream_t stream = nullptr;
  AMEND_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

void destroy_stream(Stream stream) noexcept {
  if (cudaSetDevice(stream.device().index) == cudaSuccess) {
    try {
      release_workspace(stream);
    } catch (const Error&) {
      // The stream is in error; whoever waited for it has been told.
    }
    (void)cudaStreamSynchronize(handle_of(stream));
    (void)cudaStreamDestroy(handle_of(stream));
  }
  (void)cudaGetLastError();
}

void synchronise(Stream stream) { AMEND_CUDA_CHECK(cudaStreamSynchronize(handle_of(stream))); }

void copy(void* to, const void* from, std::size_t bytes, Copy kind, Stream stream) {
  const cudaMemcpyKind direction = kind == Copy::to_device ? cudaMemcpyHostToDevice
                                   : kind == Copy::to_host ? cudaMemcpyDeviceToHost
                                                           : cudaMemcpyDeviceToDevice;
  AMEND_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, direction, handle_of(stream)));
  if (kind != Copy::to_device) return;
  // Memory that is not pinned may be gone when this returns.
  cudaPointerAttributes source{};
  AMEND_CUDA_CHECK(cudaPointerGetAttributes(&source, from));
  if (source.type != cudaMemoryTypeHost) AMEND_CUDA_CHECK(cudaStreamSynchronize(handle_of(stream)));
}

void zero(void* memory, std::size_t bytes, Stream stream) {
  AMEND_CUDA_CHECK(cudaMemsetAsync(memory, 0, bytes, handle_of(stream)));
}

void* create_event(int index) {
  make_current(index);
  cudaEvent_t event = nullptr;
  AMEND_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

void destroy_event(void* event) noexcept {
  (void)cudaEventDestroy(static_cast<cudaEvent_t>(event));
  (void)cudaGetLastError();
}

void record(void* event, Stream stream) {
  AMEND_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(event), handle_of(stream)));
}

void wait(void* event) { AMEND_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event))); }

void begin_capture(Stream stream) {
  AMEND_CUDA_CHECK(cudaStreamBeginCapture(handle_of(stream), cudaStreamCaptureModeThreadLocal));
}

void* end_capture(Stream stream, int* kernels) {
  cudaGraph_t graph = nullptr;
  AMEND_CUDA_CHECK(cudaStreamEndCapture(handle_of(stream), &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiateWithFlags(&executable, graph, 0);
  if (kernels != nullptr) *kernels = kernel_nodes(graph);
  (void)cudaGraphDestroy(graph);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    throw OutOfMemory(0, stream.device());
  }
  require(status, "cudaGraphInstantiateWithFlags");
  return executable;
}

void launch_graph(void* graph, Stream stream) {
  AMEND_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), handle_of(stream)));
}

void destroy_graph(void* graph) noexcept {
  (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
  (void)cudaGetLastError();
}

}  // namespace amend::cuda
