#pragma once

// What every CUDA twin is written with. A .cu file is compiled twice: by nvcc, where its functions are `cuda::<name>`,
// and in the tests by the C++ compiler, where they are `emulated_cuda::<name>` and run on the CPU, thread for thread
// (test/support/cuda_emulation/device.hpp, which brings its own version of what stands between the #ifdef below).

#include <limits>
#include <mutex>

#include "kernels/arguments.hpp"

#ifdef __CUDACC__

#include "engine/cuda/check.hpp"
#include "engine/cuda/workspace.hpp"

/// The namespace of the twins in this compilation.
#define AMEND_CUDA_TWIN cuda

namespace amend::kernels::cuda {

/// One T in the shared memory of the block, uninitialised; the same one wherever the kernel asks for this T.
template <class T>
__device__ __forceinline__ T& shared_memory() {
  __shared__ __align__(16) unsigned char bytes[sizeof(T)];
  return *reinterpret_cast<T*>(bytes);
}

/// The `shared_bytes` of the launch.
template <class T>
__device__ __forceinline__ T* dynamic_shared_memory() {
  extern __shared__ __align__(16) unsigned char amend_dynamic_shared[];
  return reinterpret_cast<T*>(amend_dynamic_shared);
}

/// Lets thread blocks of the kernel have so much dynamic shared memory on the thread's current device. The limit is a
/// property of the function, and only ever raised: nodes of graphs and other threads may need more of it than this
/// call.
template <class... Parameters>
void allow_shared_memory(void (*kernel)(Parameters...), std::size_t bytes) {
  constexpr std::size_t kWithoutAsking = 40 << 10;  // 48 KB less what a kernel may have of static memory
  if (bytes <= kWithoutAsking) return;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  cudaFuncAttributes now{};
  AMEND_CUDA_CHECK(cudaFuncGetAttributes(&now, reinterpret_cast<const void*>(kernel)));
  if (static_cast<std::size_t>(now.maxDynamicSharedSizeBytes) < bytes)
    AMEND_CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
}

/// Throws Error with the kernel's name unless it was queued.
inline void require_launch(const void* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  const char* name = nullptr;
#if CUDART_VERSION >= 12030
  if (cudaFuncGetName(&name, kernel) != cudaSuccess) name = nullptr;
  (void)cudaGetLastError();
#endif
  fail("cuda", "launch of ", name != nullptr ? name : "a kernel", ": ", cudaGetErrorString(status),
       " (where an earlier kernel is to blame, CUDA_LAUNCH_BLOCKING=1 names it)");
}

/// Queues `kernel` on the stream, whose device is the thread's current one. An empty grid is no launch.
template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            Args... args) {
  // The default stream would wait for all others.
  check(stream.device().is_cuda() && stream.handle() != nullptr, "launch", "expected a CUDA stream with a handle");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  allow_shared_memory(kernel, shared_bytes);
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream.handle())>>>(static_cast<Parameters>(args)...);
  require_launch(reinterpret_cast<const void*>(kernel));
}

/// Scratch of the stream for `count` elements, valid for one pass: the next call hands out the same memory.
template <class T>
T* workspace(Stream stream, std::int64_t count) {
  return static_cast<T*>(amend::cuda::workspace(stream, static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace amend::kernels::cuda

#endif

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;
/// Threads of a block where nothing speaks for another number.
inline constexpr int kThreads = 256;

constexpr std::int64_t ceil_div(std::int64_t count, std::int64_t part) { return (count + part - 1) / part; }

/// A one-dimensional grid for `count` blocks.
inline dim3 grid_of(std::int64_t count) {
  check(count >= 0 && count <= 0x7fffffff, "launch", "a grid of ", count, " blocks is too large");
  return dim3(static_cast<unsigned>(count));
}

template <class Body>
__global__ void __launch_bounds__(kThreads) element_kernel(std::int64_t count, Body body) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) body(i);
}

/// Queues `body(i)` for 0 <= i < count, a thread each; `body` is a __device__ lambda that captures by value.
template <class Body>
void for_elements(std::int64_t count, Stream stream, const Body& body) {
  launch(element_kernel<Body>, grid_of(ceil_div(count, kThreads)), dim3(kThreads), 0, stream, count, body);
}

/// What an argument that the host cannot check makes of a result.
template <class T>
__device__ inline T not_a_number() {
  return std::numeric_limits<T>::quiet_NaN();
}

/// The segment that holds `row`: the last one that starts at or before it and is not empty.
__device__ inline std::int32_t segment_of(const Segments& segments, std::int64_t row) {
  std::int32_t low = 0, high = segments.count;
  while (high - low > 1) {
    const std::int32_t middle = low + (high - low) / 2;
    (segments.offset[middle] <= row ? low : high) = middle;
  }
  return low;
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
