#pragma once

// Sums over the threads of a warp and of a block, always in the same order: their bits depend on the values alone.

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// The sum of `value` over the warp, in every lane.
template <class T>
__device__ inline T warp_sum(T value) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kAllLanes, value, lanes);
  return value;
}

template <class T>
struct WarpSums {
  T sum[32];  // one a warp of the largest block
};

/// The sum of `value` over the block, in every thread. All threads of the block must call it.
template <class T>
__device__ inline T block_sum(T value) {
  WarpSums<T>& shared = shared_memory<WarpSums<T>>();
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) shared.sum[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = T(0);
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) sum += shared.sum[warp];
  __syncthreads();  // the next sum reuses the memory
  return sum;
}

/// The second stage of a reduction: target[i] += the sum over p of partial[p * count + i], in the order of p.
template <class P, class T>
void add_in_order(const P* partial, std::int64_t parts, std::int64_t count, T* target, Stream stream) {
  for_elements(count, stream, [=] __device__(std::int64_t i) {
    P sum = P(0);
    for (std::int64_t p = 0; p < parts; ++p) sum += partial[p * count + i];
    target[i] += static_cast<T>(sum);
  });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
