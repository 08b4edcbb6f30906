#pragma once

// Thread block clusters, which devices of compute capability 9.0 and above have: neighbouring blocks of a grid that run
// at the same time and can wait for each other. What is compiled for older devices has no barrier: `max_clusters` says
// whether a kernel may be launched.

#include "kernels/cuda/launch.cuh"

#ifdef __CUDACC__

#include <cuda_runtime.h>

namespace amend::kernels::cuda {

/// A launch of `clusters` times `size` blocks.
struct ClusterLaunch {
  cudaLaunchAttribute attribute{};
  cudaLaunchConfig_t config{};

  ClusterLaunch(std::int64_t clusters, int size, dim3 block, std::size_t shared_bytes, Stream stream) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {static_cast<unsigned>(size), 1, 1};
    config.gridDim = grid_of(clusters * size);
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = static_cast<cudaStream_t>(stream.handle());
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  ClusterLaunch(const ClusterLaunch&) = delete;
};

/// How many clusters of `size` blocks of the kernel the device runs at a time; 0 where it has none.
template <class... Parameters>
std::int64_t max_clusters(void (*kernel)(Parameters...), int size, dim3 block, std::size_t shared_bytes,
                          Stream stream) {
  cudaFuncAttributes code{};
  AMEND_CUDA_CHECK(cudaFuncGetAttributes(&code, reinterpret_cast<const void*>(kernel)));
  if (code.ptxVersion < 90) return 0;
  allow_shared_memory(kernel, shared_bytes);
  int clusters = 0;
  const ClusterLaunch launch(1, size, block, shared_bytes, stream);
  AMEND_CUDA_CHECK(cudaOccupancyMaxActiveClusters(&clusters, kernel, &launch.config));
  return clusters;
}

/// As `launch`, of a kernel that `max_clusters` was asked about with this `shared_bytes`.
template <class... Parameters, class... Args>
void launch_clusters(void (*kernel)(Parameters...), std::int64_t clusters, int size, dim3 block,
                     std::size_t shared_bytes, Stream stream, Args... args) {
  const ClusterLaunch launch(clusters, size, block, shared_bytes, stream);
  AMEND_CUDA_CHECK(cudaLaunchKernelEx(&launch.config, kernel, static_cast<Parameters>(args)...));
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define AMEND_CLUSTER_CODE(...) asm volatile(__VA_ARGS__)
#else
#define AMEND_CLUSTER_CODE(...)
#endif

/// Blocks of the cluster, and which of them this one is.
__device__ inline std::int32_t cluster_size() {
  std::int32_t size = 1;
  AMEND_CLUSTER_CODE("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(size));
  return size;
}
__device__ inline std::int32_t cluster_rank() {
  std::int32_t rank = 0;
  AMEND_CLUSTER_CODE("mov.u32 %0, %%cluster_ctaid.x;" : "=r"(rank));
  return rank;
}

/// The two halves of a barrier of all threads of the cluster: what they wrote before they arrived, to device memory as
/// well, they all see once they have waited.
__device__ inline void cluster_arrive() { AMEND_CLUSTER_CODE("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ inline void cluster_wait() { AMEND_CLUSTER_CODE("barrier.cluster.wait.acquire;" ::: "memory"); }

#undef AMEND_CLUSTER_CODE

}  // namespace amend::kernels::cuda

#endif

namespace amend::kernels::AMEND_CUDA_TWIN {

/// Whether the code that is compiled can be that of a cluster.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
inline constexpr bool kHasClusters = false;
#else
inline constexpr bool kHasClusters = true;
#endif

__device__ inline void cluster_barrier() {
  cluster_arrive();
  cluster_wait();
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
