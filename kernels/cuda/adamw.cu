// g = grad * min(1, max_norm / norm); m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
// value = value (1 - lr wd) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps); average = d average + (1 - d) value.
// One launch over all segments: a block takes 1024 elements, finds the segment of the first once and walks on from
// there; a thread reads four elements before it uses one. Bytes: 28 per element, 36 with the average; the norm reads 4.
// Operations: about 15 per element.
#include "kernels/adamw.hpp"

#include <cmath>

#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr std::int64_t kChunk = 16 * kThreads;

template <class T>
__global__ void __launch_bounds__(kThreads) square_partial(std::int64_t n, const T* grad, double* partial) {
  const std::int64_t begin = blockIdx.x * kChunk, end = begin + kChunk < n ? begin + kChunk : n;
  double sum = 0;  // float64: the squares of float32 gradients neither overflow nor vanish
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads)
    sum += static_cast<double>(grad[i]) * static_cast<double>(grad[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class T>
__global__ void __launch_bounds__(kThreads) square_root_of_sum(std::int64_t count, const double* partial, T* norm) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *norm = static_cast<T>(std::sqrt(sum));
}

template <class T>
void norm_of(const GradientNorm& a, Stream stream) {
  const std::int64_t chunks = ceil_div(a.grad.count(), kChunk);
  double* partial = workspace<double>(stream, chunks);
  launch(square_partial<T>, grid_of(chunks), dim3(kThreads), 0, stream, a.grad.count(), a.grad.as<T>(), partial);
  launch(square_root_of_sum<T>, dim3(1), dim3(kThreads), 0, stream, chunks, partial, a.norm.as<T>());
}

/// A step with what the host knows of it worked in.
template <class T>
struct Step {
  T *value, *first, *second, *average;  // average may be null
  const T *grad, *gradient_norm;        // gradient_norm may be null
  const double *learning_rate, *weight_decay;
  Segments segments;
  std::int64_t count;
  double max_norm, correction;
  T beta1, rest1, beta2, rest2, root, epsilon, average_decay, average_rest;

  __device__ T scale() const {
    const double norm = gradient_norm ? static_cast<double>(*gradient_norm) : 0.0;
    return static_cast<T>(gradient_norm && norm > max_norm ? max_norm / norm : 1.0);
  }
};

constexpr int kEach = 4;  // elements of a thread

template <class T>
__global__ void __launch_bounds__(kThreads) step_kernel(Step<T> a) {
  const std::int64_t begin = blockIdx.x * std::int64_t{kEach * kThreads}, i = begin + threadIdx.x;
  const T scale = a.scale();
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
  std::int32_t s = segment_of(a.segments, begin);
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const std::int64_t at = i + e * kThreads;
    if (at >= a.count) continue;
    while (a.segments.offset[s + 1] <= at) ++s;
    const double rate = a.learning_rate[s];
    if (rate == 0.0) continue;
    const T keep = static_cast<T>(1.0 - rate * a.weight_decay[s]), step = static_cast<T>(rate / a.correction);
    const T scaled = g[e] * scale, m = a.beta1 * first[e] + a.rest1 * scaled,
            v = a.beta2 * second[e] + a.rest2 * scaled * scaled;
    const T moved = keep * value[e] - step * m / (std::sqrt(v) * a.root + a.epsilon);
    a.first[at] = m;
    a.second[at] = v;
    a.value[at] = moved;
    if (a.average) a.average[at] = a.average_decay * average[e] + a.average_rest * moved;
  }
}

template <class T>
void update(const AdamW& a, Stream stream) {
  const double steps = static_cast<double>(a.step);
  const Step<T> step{.value = a.value.as<T>(),
                     .first = a.first_moment.as<T>(),
                     .second = a.second_moment.as<T>(),
                     .average = elements<T>(a.average),
                     .grad = a.grad.as<T>(),
                     .gradient_norm = elements<T>(a.gradient_norm),
                     .learning_rate = a.learning_rate.as<double>(),
                     .weight_decay = a.weight_decay.as<double>(),
                     .segments = a.segments,
                     .count = a.value.count(),
                     .max_norm = a.max_norm,
                     .correction = 1.0 - std::pow(a.beta1, steps),
                     .beta1 = static_cast<T>(a.beta1),
                     .rest1 = static_cast<T>(1.0 - a.beta1),
                     .beta2 = static_cast<T>(a.beta2),
                     .rest2 = static_cast<T>(1.0 - a.beta2),
                     .root = static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(a.beta2, steps))),
                     .epsilon = static_cast<T>(a.epsilon),
                     .average_decay = static_cast<T>(a.average_decay),
                     .average_rest = static_cast<T>(1.0 - a.average_decay)};
  launch(step_kernel<T>, grid_of(ceil_div(step.count, kEach * kThreads)), dim3(kThreads), 0, stream, step);
}

}  // namespace

void gradient_norm(const GradientNorm& args, Stream stream) {
  expect("gradient_norm", "norm", args.norm, {1}, args.grad.dtype);
  dispatch_float("gradient_norm", args.grad.dtype, [&](auto zero) { norm_of<decltype(zero)>(args, stream); });
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
  check(args.step >= 1, kName, "steps count from 1, got ", args.step);
  if (args.gradient_norm) {
    expect(kName, "gradient_norm", args.gradient_norm, {1}, dtype);
    check(args.max_norm > 0.0, kName, "expected a positive max_norm, got ", args.max_norm);
  }
  dispatch_float(kName, dtype, [&](auto zero) { update<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
