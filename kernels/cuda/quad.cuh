#pragma once

// Four neighbours in memory, read and written at once.

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

template <class T>
struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) Quad {
  T value[4];
};

template <class T>
__device__ __forceinline__ Quad<T> load_quad(const T* from) {
  return *reinterpret_cast<const Quad<T>*>(from);
}
template <class T>
__device__ __forceinline__ void store_quad(T* to, const Quad<T>& quad) {
  *reinterpret_cast<Quad<T>*>(to) = quad;
}
template <class T>
__device__ __forceinline__ void store_quad(T* to, const T* value) {
  Quad<T> quad;
#pragma unroll
  for (int i = 0; i < 4; ++i) quad.value[i] = value[i];
  store_quad(to, quad);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
