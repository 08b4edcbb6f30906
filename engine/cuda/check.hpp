#pragma once

#include <cuda_runtime_api.h>

#include "engine/error.hpp"

/// Throws Error with the call and what the runtime says of it, unless it succeeds.
#define AMEND_CUDA_CHECK(call) ::amend::cuda::require((call), #call)

namespace amend::cuda {

inline void require(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // reported here: the next call must not report it again
  fail("cuda", call, ": ", cudaGetErrorString(status));
}

}  // namespace amend::cuda
