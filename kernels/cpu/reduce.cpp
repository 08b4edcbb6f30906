// weighted_sum: y = sum_i weight_i x_i. segment_mean, segment_add: one row of width W a segment.
// Bytes: every input and output once. Operations: one multiply-add per element.
#include "kernels/reduce.hpp"

#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
void mean(const SegmentMean& a) {
  const std::int64_t width = a.x.extent(1);
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  parallel_for(a.segments.count, [&](std::int64_t s) {
    T* sum = y + s * width;
    std::fill_n(sum, width, T(0));
    const std::int64_t begin = a.segments.offset[s], end = a.segments.offset[s + 1];
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t i = 0; i < width; ++i) sum[i] += x[row * width + i];
    if (end > begin)
      for (std::int64_t i = 0; i < width; ++i) sum[i] /= static_cast<T>(end - begin);
  });
}

template <class T>
void mean_gradient(const SegmentMeanGradient& g) {
  const Segments& segments = g.forward.segments;
  const std::int64_t width = g.grad_x.extent(1);
  const T* grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x.as<T>();
  parallel_for(segments.count, [&](std::int64_t s) {
    const std::int64_t begin = segments.offset[s], end = segments.offset[s + 1];
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t i = 0; i < width; ++i)
        grad_x[row * width + i] += grad_y[s * width + i] / static_cast<T>(end - begin);
  });
}

template <class T>
void add(const SegmentAdd& a) {
  const std::int64_t width = a.x.extent(1);
  const T* x = a.x.as<T>();
  const T* term = a.term.as<T>();
  T* y = a.y.as<T>();
  parallel_for(a.segments.count, [&](std::int64_t s) {
    for (std::int64_t row = a.segments.offset[s]; row < a.segments.offset[s + 1]; ++row)
      for (std::int64_t i = 0; i < width; ++i) y[row * width + i] = x[row * width + i] + term[s * width + i];
  });
}

template <class T>
void add_gradient(const SegmentAddGradient& g) {
  const Segments& segments = g.forward.segments;
  const std::int64_t width = g.grad_y.extent(1);
  const T* grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x ? g.grad_x.as<T>() : nullptr;
  T* grad_term = g.grad_term ? g.grad_term.as<T>() : nullptr;
  parallel_for(segments.count, [&](std::int64_t s) {
    for (std::int64_t row = segments.offset[s]; row < segments.offset[s + 1]; ++row)
      for (std::int64_t i = 0; i < width; ++i) {
        if (grad_x) grad_x[row * width + i] += grad_y[row * width + i];
        if (grad_term) grad_term[s * width + i] += grad_y[row * width + i];
      }
  });
}

}  // namespace

void weighted_sum_forward(const WeightedSum& args, Stream) {
  expect("weighted_sum", "weight", args.weight, args.x.shape, args.x.dtype);
  expect("weighted_sum", "y", args.y, {1}, args.x.dtype);
  dispatch_float("weighted_sum", args.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* x = args.x.as<T>();
    const T* weight = args.weight.as<T>();
    double sum = 0.0;  // the loss of a step: its sum is worth more than float's seven digits
    for (std::int64_t i = 0; i < args.x.count(); ++i) sum += static_cast<double>(weight[i]) * static_cast<double>(x[i]);
    *args.y.as<T>() = static_cast<T>(sum);
  });
}

void weighted_sum_backward(const WeightedSumGradient& args, Stream) {
  expect("weighted_sum", "grad_y", args.grad_y, {1}, args.forward.x.dtype);
  expect("weighted_sum", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  dispatch_float("weighted_sum", args.forward.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* weight = args.forward.weight.as<T>();
    const T grad_y = *args.grad_y.as<T>();
    T* grad_x = args.grad_x.as<T>();
    for (std::int64_t i = 0; i < args.forward.x.count(); ++i) grad_x[i] += grad_y * weight[i];
  });
}

void segment_mean_forward(const SegmentMean& args, Stream) {
  check(args.segments.rows() == args.x.extent(0), "segment_mean", "segments cover ", args.segments.rows(), " rows of ",
        args.x.extent(0));
  expect("segment_mean", "y", args.y, {args.segments.count, args.x.extent(1)}, args.x.dtype);
  dispatch_float("segment_mean", args.x.dtype, [&](auto zero) { mean<decltype(zero)>(args); });
}

void segment_mean_backward(const SegmentMeanGradient& args, Stream) {
  expect("segment_mean", "grad_y", args.grad_y, args.forward.y.shape, args.forward.x.dtype);
  expect("segment_mean", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  dispatch_float("segment_mean", args.forward.x.dtype, [&](auto zero) { mean_gradient<decltype(zero)>(args); });
}

void segment_add_forward(const SegmentAdd& args, Stream) {
  check(args.segments.rows() == args.x.extent(0), "segment_add", "segments cover ", args.segments.rows(), " rows of ",
        args.x.extent(0));
  expect("segment_add", "term", args.term, {args.segments.count, args.x.extent(1)}, args.x.dtype);
  expect("segment_add", "y", args.y, args.x.shape, args.x.dtype);
  dispatch_float("segment_add", args.x.dtype, [&](auto zero) { add<decltype(zero)>(args); });
}

void segment_add_backward(const SegmentAddGradient& args, Stream) {
  const SegmentAdd& a = args.forward;
  expect("segment_add", "grad_y", args.grad_y, a.x.shape, a.x.dtype);
  if (args.grad_x) expect("segment_add", "grad_x", args.grad_x, a.x.shape, a.x.dtype);
  if (args.grad_term) expect("segment_add", "grad_term", args.grad_term, a.term.shape, a.x.dtype);
  dispatch_float("segment_add", args.forward.x.dtype, [&](auto zero) { add_gradient<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
