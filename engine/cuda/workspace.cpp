#include "engine/cuda/workspace.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include "engine/cuda/check.hpp"
#include "engine/cuda/runtime.hpp"
#include "engine/out_of_memory.hpp"

namespace amend::cuda {

namespace {

struct Buffer {
  void* memory = nullptr;
  std::size_t bytes = 0;
  std::size_t generation = 0;
};

std::mutex mutex;
std::map<void*, Buffer> buffers;  // by stream handle

cudaStream_t handle_of(Stream stream) {
  check(stream.device().is_cuda() && stream.handle() != nullptr, "workspace", "expected a CUDA stream with a handle");
  return static_cast<cudaStream_t>(stream.handle());
}

}  // namespace

void* workspace(Stream stream, std::size_t bytes) {
  const cudaStream_t handle = handle_of(stream);
  const std::lock_guard lock(mutex);
  Buffer& buffer = buffers[handle];
  if (buffer.bytes >= bytes) return buffer.memory;
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  AMEND_CUDA_CHECK(cudaStreamIsCapturing(handle, &capture));
  check(capture == cudaStreamCaptureStatusNone, "workspace", bytes, " bytes are needed while a graph is captured, and ",
        buffer.bytes, " are there: run the step once before");
  std::size_t wanted = std::max(bytes, buffer.bytes * 3 / 2);
  void* memory = nullptr;
  cudaError_t status = cudaMallocAsync(&memory, wanted, handle);
  if (status == cudaErrorMemoryAllocation) {  // once more, without the old one and without room to grow
    (void)cudaGetLastError();
    if (buffer.memory != nullptr) AMEND_CUDA_CHECK(cudaFreeAsync(buffer.memory, handle));
    buffer = {nullptr, 0, buffer.generation + 1};
    AMEND_CUDA_CHECK(cudaStreamSynchronize(handle));
    wanted = bytes;
    status = cudaMallocAsync(&memory, wanted, handle);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw OutOfMemory(wanted, stream.device());
    }
  }
  require(status, "cudaMallocAsync");
  if (buffer.memory != nullptr) AMEND_CUDA_CHECK(cudaFreeAsync(buffer.memory, handle));
  buffer = {memory, wanted, buffer.generation + 1};
  return memory;
}

std::size_t scratch_generation(Stream stream) {
  const cudaStream_t handle = handle_of(stream);
  const std::lock_guard lock(mutex);
  return buffers[handle].generation;
}

void release_workspace(Stream stream) {
  const cudaStream_t handle = handle_of(stream);
  const std::lock_guard lock(mutex);
  const auto found = buffers.find(handle);
  if (found == buffers.end()) return;
  void* memory = found->second.memory;
  buffers.erase(found);  // in any case: the handle may come again
  if (memory != nullptr) AMEND_CUDA_CHECK(cudaFreeAsync(memory, handle));
}

}  // namespace amend::cuda
