#pragma once

// What a launch may ask of its device.

#include <type_traits>

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

/// How many bytes of shared memory a plan of a kernel takes at most: what every device of compute capability 8.0 and
/// above gives a block, those of 8.6, 8.9 and 12.0 no more, and what the others give.
enum class Footprint : std::size_t { tight = 99 << 10, roomy = 163 << 10 };

/// Whether code that is being compiled may be asked for such a plan: code for sm_90a runs on compute capability 9.0
/// alone, where the roomy one fits.
template <Footprint F>
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
inline constexpr bool kMayRun = F == Footprint::roomy;
#else
inline constexpr bool kMayRun = true;
#endif

/// What body(footprint), a type, returns for the stream's device, of a kernel whose roomy plan needs `Roomy` bytes:
/// there is a tight one only where that is too much.
template <std::size_t Roomy, class Body>
auto dispatch_footprint(Stream stream, const Body& body) {
  static_assert(Roomy <= static_cast<std::size_t>(Footprint::roomy));
  if constexpr (Roomy > static_cast<std::size_t>(Footprint::tight))
    if (static_cast<std::size_t>(device_limits(stream).shared_bytes) < Roomy)
      return body(std::integral_constant<Footprint, Footprint::tight>());
  return body(std::integral_constant<Footprint, Footprint::roomy>());
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
