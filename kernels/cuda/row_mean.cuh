#pragma once

// Means over the rows of (networks, rows, classes) logits.

#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

template <class T, class Term>
__global__ void __launch_bounds__(kThreads) row_mean_kernel(std::int64_t rows, T* mean, Term term) {
  T sum = T(0);
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) sum += term(blockIdx.x, row);
  sum = block_sum(sum);
  if (threadIdx.x == 0) mean[blockIdx.x] = sum / static_cast<T>(rows);
}

/// mean[b] = mean over `rows` rows of term(b, row), a network a block: its bits do not depend on the batch.
template <class T, class Term>
void mean_over_rows(std::int64_t networks, std::int64_t rows, T* mean, Stream stream, const Term& term) {
  launch(row_mean_kernel<T, Term>, grid_of(networks), dim3(kThreads), 0, stream, rows, mean, term);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
