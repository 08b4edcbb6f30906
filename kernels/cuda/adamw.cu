// g = grad * min(1, max_norm / norm); m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
// value = value (1 - lr wd) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps); average = d average + (1 - d) value.
// One launch over all segments. Bytes: 28 per element, 36 with the average; the norm reads 4. Operations: about 15 per
// element.
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
void norm_of(const GradientNorm& a, Stream stream) {
  const std::int64_t chunks = ceil_div(a.grad.count(), kChunk);
  double* partial = workspace<double>(stream, chunks);
  launch(square_partial<T>, grid_of(chunks), dim3(kThreads), 0, stream, a.grad.count(), a.grad.as<T>(), partial);
  T* norm = a.norm.as<T>();
  for_elements(1, stream, [=] __device__(std::int64_t) {
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk];
    *norm = static_cast<T>(std::sqrt(sum));
  });
}

template <class T>
void update(const AdamW& a, Stream stream) {
  T *value = a.value.as<T>(), *first = a.first_moment.as<T>(), *second = a.second_moment.as<T>(),
    *average = elements<T>(a.average);
  const T *grad = a.grad.as<T>(), *gradient_norm = elements<T>(a.gradient_norm);
  const double *learning_rate = a.learning_rate.as<double>(), *weight_decay = a.weight_decay.as<double>();
  const double max_norm = a.max_norm, correction = 1.0 - std::pow(a.beta1, static_cast<double>(a.step));
  const T beta1 = static_cast<T>(a.beta1), rest1 = static_cast<T>(1.0 - a.beta1);
  const T beta2 = static_cast<T>(a.beta2), rest2 = static_cast<T>(1.0 - a.beta2);
  const T root = static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(a.beta2, static_cast<double>(a.step))));
  const T epsilon = static_cast<T>(a.epsilon);
  const T average_decay = static_cast<T>(a.average_decay), average_rest = static_cast<T>(1.0 - a.average_decay);
  const Segments segments = a.segments;
  for_elements(a.value.count(), stream, [=] __device__(std::int64_t i) {
    const std::int32_t s = segment_of(segments, i);
    const double rate = learning_rate[s];
    if (rate == 0.0) return;
    const double norm = gradient_norm ? static_cast<double>(*gradient_norm) : 0.0;
    const T scale = static_cast<T>(gradient_norm && norm > max_norm ? max_norm / norm : 1.0);
    const T keep = static_cast<T>(1.0 - rate * weight_decay[s]), step = static_cast<T>(rate / correction);
    const T g = grad[i] * scale, m = beta1 * first[i] + rest1 * g, v = beta2 * second[i] + rest2 * g * g;
    const T moved = keep * value[i] - step * m / (std::sqrt(v) * root + epsilon);
    first[i] = m;
    second[i] = v;
    value[i] = moved;
    if (average) average[i] = average_decay * average[i] + average_rest * moved;
  });
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
