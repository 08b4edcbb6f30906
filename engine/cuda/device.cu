// What can be said of the machine's devices.
#include <cuda_runtime_api.h>

#include <cstdlib>

#include "engine/cuda/missing_twins.hpp"
#include "engine/cuda/runtime.hpp"
#include "engine/device_facts.hpp"

namespace amend::cuda {

namespace {

/// Never runs: whether the device could run it is whether this build has code for the device.
__global__ void image_probe() {}

}  // namespace

std::string unavailable_reason(int index) {
  DeviceFacts facts;
  facts.index = index;
  facts.visibility_set = std::getenv("CUDA_VISIBLE_DEVICES") != nullptr;
  facts.missing_twins = missing_twins();
  (void)cudaDriverGetVersion(&facts.driver_version);
  (void)cudaRuntimeGetVersion(&facts.runtime_version);
  const cudaError_t status = cudaGetDeviceCount(&facts.count);
  if (status != cudaSuccess) {
    facts.count = 0;
    if (status != cudaErrorNoDevice) facts.error = cudaGetErrorString(status);
  }
  if (index < facts.count) {
    int major = 0, minor = 0;
    (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    (void)cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    facts.capability = 10 * major + minor;
    int before = 0;
    (void)cudaGetDevice(&before);
    cudaFuncAttributes attributes;
    cudaError_t opened = cudaSetDevice(index);
    if (opened == cudaSuccess) opened = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(image_probe));
    facts.compiled_for = opened != cudaErrorNoKernelImageForDevice && opened != cudaErrorInvalidDeviceFunction;
    if (facts.compiled_for && opened != cudaSuccess) facts.failure = cudaGetErrorString(opened);
    (void)cudaSetDevice(before);
  }
  (void)cudaGetLastError();  // the question was the point: later calls must not see an error of it
  return amend::unavailable_reason(facts);
}

}  // namespace amend::cuda
