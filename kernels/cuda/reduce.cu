// weighted_sum: y = sum_i weight_i x_i. segment_mean, segment_add: one row of width W a segment.
// Bytes: every input and output once. Operations: one multiply-add per element.
#include "kernels/reduce.hpp"

#include "kernels/cuda/device_sum.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

/// A term of the sum: the loss of a step is worth more than float's seven digits.
template <class T>
struct WeightedTerm {
  const T *x, *weight;
  __host__ __device__ double operator()(std::int64_t i) const {
    return static_cast<double>(weight[i]) * static_cast<double>(x[i]);
  }
};

template <class T>
void weighted_sum(const WeightedSum& a, Stream stream) {
  device_sum(a.x.count(), WeightedTerm<T>{a.x.as<T>(), a.weight.as<T>()}, false, a.y.as<T>(), stream);
}

template <class T>
void weighted_sum_gradient(const WeightedSumGradient& g, Stream stream) {
  const T *weight = g.forward.weight.as<T>(), *grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x.as<T>();
  for_elements(g.forward.x.count(), stream, [=] __device__(std::int64_t i) { grad_x[i] += *grad_y * weight[i]; });
}

constexpr int kColumns = 32, kRowLanes = kThreads / kColumns;

template <class T>
struct ColumnSums {
  T sum[kRowLanes][kColumns];
};

/// out[s, column] (=, or += when `add`) the sum over the rows of segment s, divided by their number when `mean`. A
/// block is a segment and 32 columns; eight threads share a column.
template <class T>
__global__ void __launch_bounds__(kThreads)
    segment_sums(const T* x, Segments segments, std::int64_t width, bool mean, bool add, T* out) {
  ColumnSums<T>& shared = shared_memory<ColumnSums<T>>();
  const std::int64_t segment = blockIdx.x, begin = segments.offset[segment], end = segments.offset[segment + 1];
  const unsigned lane = threadIdx.x % kColumns, part = threadIdx.x / kColumns;
  const std::int64_t column = blockIdx.y * std::int64_t{kColumns} + lane;
  T sum = T(0);
  if (column < width)
    for (std::int64_t row = begin + part; row < end; row += kRowLanes) sum += x[row * width + column];
  shared.sum[part][lane] = sum;
  __syncthreads();
  if (part != 0 || column >= width) return;
  for (int p = 1; p < kRowLanes; ++p) sum += shared.sum[p][lane];
  if (mean && end > begin) sum /= static_cast<T>(end - begin);
  T& result = out[segment * width + column];
  result = add ? result + sum : sum;
}

template <class T>
void launch_segment_sums(const TensorView& x, const Segments& segments, bool mean, bool add, T* out, Stream stream) {
  const std::int64_t width = x.extent(1);
  dim3 grid = grid_of(segments.count);
  grid.y = static_cast<unsigned>(ceil_div(width, kColumns));
  launch(segment_sums<T>, grid, dim3(kThreads), 0, stream, x.as<T>(), segments, width, mean, add, out);
}

template <class T>
void mean_gradient(const SegmentMeanGradient& g, Stream stream) {
  const Segments segments = g.forward.segments;
  const std::int64_t width = g.grad_x.extent(1);
  const T* grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x.as<T>();
  for_elements(g.grad_x.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / width, s = segment_of(segments, row);
    grad_x[i] += grad_y[s * width + (i - row * width)] / static_cast<T>(segments.offset[s + 1] - segments.offset[s]);
  });
}

template <class T>
void add(const SegmentAdd& a, Stream stream) {
  const Segments segments = a.segments;
  const std::int64_t width = a.x.extent(1);
  const T *x = a.x.as<T>(), *term = a.term.as<T>();
  T* y = a.y.as<T>();
  for_elements(a.x.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / width, s = segment_of(segments, row);
    y[i] = x[i] + term[s * width + (i - row * width)];
  });
}

template <class T>
void add_gradient(const SegmentAddGradient& g, Stream stream) {
  const T* grad_y = g.grad_y.as<T>();
  if (g.grad_x) {
    T* grad_x = g.grad_x.as<T>();
    for_elements(g.grad_y.count(), stream, [=] __device__(std::int64_t i) { grad_x[i] += grad_y[i]; });
  }
  if (g.grad_term) launch_segment_sums(g.grad_y, g.forward.segments, false, true, g.grad_term.as<T>(), stream);
}

}  // namespace

void weighted_sum_forward(const WeightedSum& args, Stream stream) {
  expect("weighted_sum", "weight", args.weight, args.x.shape, args.x.dtype);
  expect("weighted_sum", "y", args.y, {1}, args.x.dtype);
  dispatch_float("weighted_sum", args.x.dtype, [&](auto zero) { weighted_sum<decltype(zero)>(args, stream); });
}

void weighted_sum_backward(const WeightedSumGradient& args, Stream stream) {
  const WeightedSum& a = args.forward;
  expect("weighted_sum", "grad_y", args.grad_y, {1}, a.x.dtype);
  expect("weighted_sum", "grad_x", args.grad_x, a.x.shape, a.x.dtype);
  dispatch_float("weighted_sum", a.x.dtype, [&](auto zero) { weighted_sum_gradient<decltype(zero)>(args, stream); });
}

void segment_mean_forward(const SegmentMean& args, Stream stream) {
  expect("segment_mean", "y", args.y, {args.segments.count, args.x.extent(1)}, args.x.dtype);
  dispatch_float("segment_mean", args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_segment_sums(args.x, args.segments, true, false, args.y.as<T>(), stream);
  });
}

void segment_mean_backward(const SegmentMeanGradient& args, Stream stream) {
  expect("segment_mean", "grad_y", args.grad_y, args.forward.y.shape, args.forward.x.dtype);
  expect("segment_mean", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  dispatch_float("segment_mean", args.forward.x.dtype, [&](auto zero) { mean_gradient<decltype(zero)>(args, stream); });
}

void segment_add_forward(const SegmentAdd& args, Stream stream) {
  expect("segment_add", "term", args.term, {args.segments.count, args.x.extent(1)}, args.x.dtype);
  expect("segment_add", "y", args.y, args.x.shape, args.x.dtype);
  dispatch_float("segment_add", args.x.dtype, [&](auto zero) { add<decltype(zero)>(args, stream); });
}

void segment_add_backward(const SegmentAddGradient& args, Stream stream) {
  const SegmentAdd& a = args.forward;
  expect("segment_add", "grad_y", args.grad_y, a.x.shape, a.x.dtype);
  if (args.grad_x) expect("segment_add", "grad_x", args.grad_x, a.x.shape, a.x.dtype);
  if (args.grad_term) expect("segment_add", "grad_term", args.grad_term, a.term.shape, a.x.dtype);
  dispatch_float("segment_add", a.x.dtype, [&](auto zero) { add_gradient<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
