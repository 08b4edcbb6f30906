#pragma once

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// The columns of a feature; none, and not valid, where the offsets make no sense.
struct FeatureColumns {
  int begin, end;
  bool valid;

  __device__ FeatureColumns(const std::int32_t* offset, int feature, int inputs)
      : begin(offset[feature]), end(offset[feature + 1]) {
    valid = begin >= 0 && begin <= end && end <= inputs;
    if (!valid) begin = end = 0;
  }
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
