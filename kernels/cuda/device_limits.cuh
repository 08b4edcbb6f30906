#pragma once

// What a launch may ask of its device.

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

struct DeviceLimits {
  int multiprocessors;  // how many blocks keep the device busy: never changes the bits of a result
  int shared_bytes;     // of one block: decides which networks stay on chip
};

#ifdef __CUDACC__
inline DeviceLimits device_limits(Stream stream) {
  DeviceLimits limits{};
  const int device = stream.device().index;
  AMEND_CUDA_CHECK(cudaDeviceGetAttribute(&limits.multiprocessors, cudaDevAttrMultiProcessorCount, device));
  AMEND_CUDA_CHECK(cudaDeviceGetAttribute(&limits.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return limits;
}
#else
/// Of the emulated device. Small ones: a handful of networks fills it, and one that does not fit is still quick to run.
inline DeviceLimits device_limits(Stream stream) {
  return {.multiprocessors = 2, .shared_bytes = static_cast<int>(max_shared_bytes(stream))};
}
#endif

}  // namespace amend::kernels::AMEND_CUDA_TWIN
