// y (R, O) = x (R, I) W^T (I, O) + b, in plain float32: the exact mode.
// Bytes: 4 (R I + R O) forward; backward reads both again and writes grad_x. Operations: 2 R I O, and 4 R I O backward.
// A result is a sum in the order of its terms, so a row has the same bits wherever it lies: segments are not looked at.
#include "kernels/linear.hpp"

#include "kernels/cuda/gemm.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
void forward(const Linear& a, Stream stream) {
  multiply_rows(a.x.as<T>(), a.weight.as<T>(), elements<T>(a.bias), a.y.as<T>(), a.x.extent(0), a.x.extent(1),
                a.weight.extent(0), stream);
}

template <class T>
void backward(const LinearGradient& g, Stream stream) {
  const Linear& a = g.forward;
  const std::int64_t rows = a.x.extent(0), in = a.x.extent(1), out = a.weight.extent(0);
  if (rows == 0) return;
  const T* grad_y = g.grad_y.as<T>();
  if (g.grad_x) multiply_rows_back(grad_y, a.weight.as<T>(), true, g.grad_x.as<T>(), rows, in, out, stream);
  if (!g.grad_weight && !g.grad_bias) return;
  T* partial = workspace<T>(stream, ceil_div(rows, kPartRows) * (g.grad_weight ? out * in : out));
  if (g.grad_weight) add_weight_gradient(grad_y, a.x.as<T>(), rows, in, out, partial, g.grad_weight.as<T>(), stream);
  if (g.grad_bias) add_bias_gradient(grad_y, rows, out, partial, g.grad_bias.as<T>(), stream);
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
