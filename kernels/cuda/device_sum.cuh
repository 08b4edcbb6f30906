#pragma once

// One sum over all of a device's threads, by CUB. Its order of addition depends on the device's model and on the number
// of terms alone: the same bits in every run.

#include "kernels/cuda/launch.cuh"

#ifdef __CUDACC__

#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <cub/device/device_reduce.cuh>

namespace amend::kernels::cuda {

/// *target += the sum over 0 <= i < count of term(i), a double, in float64, or = the sum unless `add`. `term` is an
/// object that the device calls.
template <class Term, class T>
void device_sum(std::int64_t count, const Term& term, bool add, T* target, Stream stream) {
  const cudaStream_t handle = static_cast<cudaStream_t>(stream.handle());
  const auto terms = thrust::make_transform_iterator(thrust::counting_iterator<std::int64_t>(0), term);
  constexpr std::size_t kSumBytes = 256;  // of the workspace for the sum, the rest is CUB's
  double* sum = nullptr;
  std::size_t bytes = 0;
  AMEND_CUDA_CHECK(cub::DeviceReduce::Sum(nullptr, bytes, terms, sum, count, handle));
  unsigned char* scratch = workspace<unsigned char>(stream, static_cast<std::int64_t>(kSumBytes + bytes));
  sum = reinterpret_cast<double*>(scratch);
  AMEND_CUDA_CHECK(cub::DeviceReduce::Sum(scratch + kSumBytes, bytes, terms, sum, count, handle));
  for_elements(1, stream, [=] __device__(std::int64_t) { *target = static_cast<T>(*sum) + (add ? *target : T(0)); });
}

}  // namespace amend::kernels::cuda

#endif
