// Logits moved to a budget, a network a block: the order statistics on both sides of the cut are found bit by bit, from
// the highest, by counting. Bytes an element: 8, and 8 for each of the 32 bits and both statistics, which one
// network's logits mostly take from the caches. No atomics: counts are exact in any order.
#include <cstdint>
#include <limits>

#include "kernels/cuda/reduction.cuh"
#include "kernels/gate_budget.hpp"
#include "kernels/gate_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
struct Logits {
  const T *logit, *counted;
  std::int64_t begin, end;

  __device__ bool counts(std::int64_t i) const { return !counted || counted[i] != T(0); }
};

template <class T>
__device__ std::int64_t number_from(const Logits<T>& in, std::uint64_t key) {
  std::int64_t number = 0;
  for (std::int64_t i = in.begin + threadIdx.x; i < in.end; i += kThreads)
    number += in.counts(i) && ordered_key(in.logit[i]) >= key;
  return block_sum(number);
}

/// The logit of this rank among those that count, the largest being 1; there are as many.
template <class T>
__device__ T of_rank(const Logits<T>& in, std::int64_t rank) {
  std::uint64_t key = 0;
  for (int bit = 8 * static_cast<int>(sizeof(T)) - 1; bit >= 0; --bit) {
    const std::uint64_t longer = key | std::uint64_t{1} << bit;
    if (number_from(in, longer) >= rank) key = longer;
  }
  return from_ordered_key<T>(key);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    shift_kernel(const T* logit, const T* counted, const std::int32_t* budget, Segments segments, T* shifted) {
  const Logits<T> in{logit, counted, segments.offset[blockIdx.x], segments.offset[blockIdx.x + 1]};
  const std::int64_t open = budget[blockIdx.x];
  T cut = T(0);
  if (open >= 0) {
    const std::int64_t count = number_from(in, 0), last = open < count ? open : count;
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    cut = budget_cut(last > 0 ? of_rank(in, last) : kInfinity, last < count ? of_rank(in, last + 1) : -kInfinity);
  }
  for (std::int64_t i = in.begin + threadIdx.x; i < in.end; i += kThreads)
    shifted[i] = open >= 0 && !in.counts(i) ? T(-1) : logit[i] - cut;
}

}  // namespace

void gate_budget(const GateBudget& args, Stream stream) {
  const DType dtype = args.logit.dtype;
  if (args.counted) expect("gate_budget", "counted", args.counted, args.logit.shape, dtype);
  expect("gate_budget", "budget", args.budget, {args.segments.count}, DType::int32);
  expect("gate_budget", "shifted", args.shifted, args.logit.shape, dtype);
  dispatch_float("gate_budget", dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(shift_kernel<T>, grid_of(args.segments.count), dim3(kThreads), 0, stream, args.logit.as<T>(),
           elements<T>(args.counted), args.budget.as<std::int32_t>(), args.segments, args.shifted.as<T>());
  });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
