#include "engine/cuda/device.hpp"

#include <cuda_runtime_api.h>

namespace amend::cuda {

std::string unavailable_reason(int index) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    (void)cudaGetLastError();  // the question was the point: later calls must not see this error
    return std::string("the driver offers no device (") + cudaGetErrorString(error) + ")";
  }
  if (index >= count) return "there are " + std::to_string(count) + " devices, numbered from 0";
  return "some kernels of this version have no CUDA twin yet";
}

}  // namespace amend::cuda
