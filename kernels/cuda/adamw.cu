// g = grad * min(1, max_norm / norm); m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
// value = value (1 - lr wd) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps); average = d average + (1 - d) value.
// One launch over all segments: a block takes 1024 elements, finds the segment of the first once and walks on from
// there; a thread reads four elements before it uses one. Every block adds the partial sums of squares itself: a few
// hundred at most in an editor, and one launch less. Bytes: 28 per element, 36 with the average; the squares read 4.
// Operations: about 15 per element.
#include "kernels/adamw.hpp"

#include <cmath>

#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) squares_kernel(std::int64_t n, const T* grad, double* squares) {
  const std::int64_t begin = blockIdx.x * kSquaresChunk, end = begin + kSquaresChunk < n ? begin + kSquaresChunk : n;
  double sum = 0;  // float64: the squares of float32 gradients neither overflow nor vanish
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads)
    sum += static_cast<double>(grad[i]) * static_cast<double>(grad[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

template <class T>
void squares_of(const GradientSquares& a, Stream stream) {
  launch(squares_kernel<T>, grid_of(a.squares.count()), dim3(kThreads), 0, stream, a.grad.count(), a.grad.as<T>(),
         a.squares.as<double>());
}

template <class T>
struct Step {
  T *value, *first, *second, *average, *norm;  // average may be null
  const T* grad;
  const double *learning_rate, *weight_decay, *schedule, *squares;  // squares may be null
  Segments segments;
  std::int64_t count, parts;
  double max_norm;
  T beta1, rest1, beta2, rest2, epsilon;
};

/// What gradients are scaled by; the first block writes their norm.
template <class T>
__device__ T clipping(const Step<T>& a) {
  if (!a.squares) return T(1);
  T& scale = shared_memory<T>();
  if (threadIdx.x < kWarp) {
    double sum = 0;
    for (std::int64_t i = threadIdx.x; i < a.parts; i += kWarp) sum += a.squares[i];
    const T norm = static_cast<T>(std::sqrt(warp_sum(sum)));
    if (threadIdx.x == 0) {
      if (blockIdx.x == 0) *a.norm = norm;
      const double measured = static_cast<double>(norm);
      scale = static_cast<T>(measured > a.max_norm ? a.max_norm / measured : 1.0);
    }
  }
  __syncthreads();
  return scale;
}

constexpr int kEach = 4;  // elements of a thread

template <class T>
__global__ void __launch_bounds__(kThreads) step_kernel(Step<T> a) {
  const std::int64_t begin = blockIdx.x * std::int64_t{kEach * kThreads}, i = begin + threadIdx.x;
  T g[kEach], first[kEach], second[kEach], value[kEach], average[kEach];
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const std::int64_t at = i + e * kThreads;
    if (at >= a.count) continue;
    g[e] = a.grad[at];
    first[e] = a.first[at];
    second[e] = a.second[at];
    value[e] = a.value[at];
    if (a.average) average[e] = a.average[at];
  }
  const T scale = clipping(a);
  const double correction = a.schedule[0], decay = a.schedule[2];
  const T root = static_cast<T>(a.schedule[1]);
  std::int32_t s = segment_of(a.segments, begin);
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const std::int64_t at = i + e * kThreads;
    if (at >= a.count) continue;
    while (a.segments.offset[s + 1] <= at) ++s;
    const double rate = a.learning_rate[s];
    if (rate == 0.0) continue;
    const T keep = static_cast<T>(1.0 - rate * a.weight_decay[s]), step = static_cast<T>(rate / correction);
    const T scaled = g[e] * scale, m = a.beta1 * first[e] + a.rest1 * scaled,
            v = a.beta2 * second[e] + a.rest2 * scaled * scaled;
    const T moved = keep * value[e] - step * m / (std::sqrt(v) * root + a.epsilon);
    a.first[at] = m;
    a.second[at] = v;
    a.value[at] = moved;
    if (a.average) a.average[at] = static_cast<T>(decay) * average[e] + static_cast<T>(1.0 - decay) * moved;
  }
}

template <class T>
void update(const AdamW& a, Stream stream) {
  const Step<T> step{.value = a.value.as<T>(),
                     .first = a.first_moment.as<T>(),
                     .second = a.second_moment.as<T>(),
                     .average = elements<T>(a.average),
                     .norm = elements<T>(a.norm),
                     .grad = a.grad.as<T>(),
                     .learning_rate = a.learning_rate.as<double>(),
                     .weight_decay = a.weight_decay.as<double>(),
                     .schedule = a.schedule.as<double>(),
                     .squares = elements<double>(a.squares),
                     .segments = a.segments,
                     .count = a.value.count(),
                     .parts = a.squares.count(),
                     .max_norm = a.max_norm,
                     .beta1 = static_cast<T>(a.beta1),
                     .rest1 = static_cast<T>(1.0 - a.beta1),
                     .beta2 = static_cast<T>(a.beta2),
                     .rest2 = static_cast<T>(1.0 - a.beta2),
                     .epsilon = static_cast<T>(a.epsilon)};
  const std::int64_t blocks = ceil_div(step.count, kEach * kThreads);
  launch(step_kernel<T>, grid_of(blocks > 0 ? blocks : 1), dim3(kThreads), 0, stream, step);
}

}  // namespace

void gradient_squares(const GradientSquares& args, Stream stream) {
  expect("gradient_squares", "squares", args.squares, {ceil_div(args.grad.count(), kSquaresChunk)}, DType::float64);
  dispatch_float("gradient_squares", args.grad.dtype, [&](auto zero) { squares_of<decltype(zero)>(args, stream); });
}

void adamw(const AdamW& args, Stream stream) {
  constexpr const char* kName = "adamw";
  const Shape& shape = args.value.shape;
  const DType dtype = args.value.dtype;
  expect(kName, "grad", args.grad, shape, dtype);
  expect(kName, "first_moment", args.first_moment, shape, dtype);
  expect(kName, "second_moment", args.second_moment, shape, dtype);
  if (args.average) expect(kName, "average", args.average, shape, dtype);
  expect(kName, "learning_rate", args.learning_rate, {args.segments.count}, DType::float64);
  expect(kName, "weight_decay", args.weight_decay, {args.segments.count}, DType::float64);
  expect(kName, "schedule", args.schedule, {3}, DType::float64);
  if (args.squares) {
    expect(kName, "squares", args.squares, {ceil_div(args.value.count(), kSquaresChunk)}, DType::float64);
    expect(kName, "norm", args.norm, {1}, dtype);
    check(args.max_norm > 0.0, kName, "expected a positive max_norm, got ", args.max_norm);
  }
  dispatch_float(kName, dtype, [&](auto zero) { update<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
