// y (R, O) = x (R, I) W^T (I, O) + b, in plain float32: the exact mode.
// Bytes: 4 (R I + R O) forward; backward reads both again and writes grad_x. Operations: 2 R I O, and 4 R I O backward.
// A result is a sum in the order of its terms, so a row has the same bits wherever it lies: segments are not looked at.
#include "kernels/linear.hpp"

#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

/// Rows whose part of a weight's gradient is one partial sum.
constexpr std::int64_t kPartRows = 2048;

template <class T>
void forward(const Linear& a, Stream stream) {
  const std::int64_t rows = a.x.extent(0), in = a.x.extent(1), out = a.weight.extent(0);
  multiply<T>({.a = {a.x.as<T>(), in, 1},
               .b = {a.weight.as<T>(), in, 1},
               .bias = elements<T>(a.bias),
               .add = false,
               .result = a.y.as<T>(),
               .rows = rows,
               .columns = out,
               .depth = in,
               .part_depth = in},
              stream);
}

/// partial[part, column] = sum of the rows of the part, a thread a column.
template <class T>
void column_partials(const T* x, std::int64_t rows, std::int64_t width, T* partial, Stream stream) {
  for_elements(ceil_div(rows, kPartRows) * width, stream, [=] __device__(std::int64_t i) {
    const std::int64_t part = i / width, column = i - part * width, first = part * kPartRows;
    const std::int64_t last = first + kPartRows < rows ? first + kPartRows : rows;
    T sum = T(0);
    for (std::int64_t row = first; row < last; ++row) sum += x[row * width + column];
    partial[i] = sum;
  });
}

template <class T>
void backward(const LinearGradient& g, Stream stream) {
  const Linear& a = g.forward;
  const std::int64_t rows = a.x.extent(0), in = a.x.extent(1), out = a.weight.extent(0);
  const std::int64_t parts = ceil_div(rows, kPartRows);
  if (parts == 0) return;
  const T* grad_y = g.grad_y.as<T>();
  if (g.grad_x)
    multiply<T>({.a = {grad_y, out, 1},
                 .b = {a.weight.as<T>(), 1, in},
                 .bias = nullptr,
                 .add = true,
                 .result = g.grad_x.as<T>(),
                 .rows = rows,
                 .columns = in,
                 .depth = out,
                 .part_depth = out},
                stream);
  const std::int64_t weights = g.grad_weight ? out * in : 0, biases = g.grad_bias ? out : 0;
  if (weights + biases == 0) return;
  T* partial_weight = workspace<T>(stream, parts * (weights + biases));
  T* partial_bias = partial_weight + parts * weights;
  if (weights > 0) {
    multiply<T>({.a = {grad_y, 1, out},
                 .b = {a.x.as<T>(), 1, in},
                 .bias = nullptr,
                 .add = false,
                 .result = partial_weight,
                 .rows = out,
                 .columns = in,
                 .depth = rows,
                 .part_depth = kPartRows},
                stream);
    add_in_order(partial_weight, parts, weights, g.grad_weight.as<T>(), stream);
  }
  if (biases > 0) {
    column_partials(grad_y, rows, out, partial_bias, stream);
    add_in_order(partial_bias, parts, biases, g.grad_bias.as<T>(), stream);
  }
}

void validate(const Linear& a) {
  const DType dtype = a.x.dtype;
  const std::int64_t rows = a.x.extent(0), in = a.x.extent(1), out = a.weight.extent(0);
  expect("linear", "weight", a.weight, {out, in}, dtype);
  if (a.bias) expect("linear", "bias", a.bias, {out}, dtype);
  expect("linear", "y", a.y, {rows, out}, dtype);
}

}  // namespace

void linear_forward(const Linear& args, Stream stream) {
  validate(args);
  dispatch_float("linear", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void linear_backward(const LinearGradient& args, Stream stream) {
  const Linear& a = args.forward;
  validate(a);
  expect("linear", "grad_y", args.grad_y, a.y.shape, a.x.dtype);
  if (args.grad_x) expect("linear", "grad_x", args.grad_x, a.x.shape, a.x.dtype);
  if (args.grad_weight) expect("linear", "grad_weight", args.grad_weight, a.weight.shape, a.x.dtype);
  if (args.grad_bias) expect("linear", "grad_bias", args.grad_bias, {a.weight.extent(0)}, a.x.dtype);
  dispatch_float("linear", a.x.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
