// y = f(x). Bytes: 8 per element forward, 16 backward. Operations: one transcendental.
#include "kernels/pointwise.hpp"

#include "kernels/cuda/launch.cuh"
#include "kernels/math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

// The switch stands in the kernel: the same branch for all threads, and a quarter of the kernels to compile.
template <class T>
__device__ inline T value_of(PointwiseOp op, T x) {
  switch (op) {
    case PointwiseOp::relu: return x > T(0) ? x : T(0);
    case PointwiseOp::silu: return silu(x);
    case PointwiseOp::tanh: return hyperbolic_tangent(x);
    case PointwiseOp::sigmoid: return sigmoid(x);
  }
  return x;
}

template <class T>
__device__ inline T slope_of(PointwiseOp op, T x, T y) {
  switch (op) {
    case PointwiseOp::relu: return x > T(0) ? T(1) : T(0);
    case PointwiseOp::silu: return silu_slope(x);
    case PointwiseOp::tanh: return T(1) - y * y;
    case PointwiseOp::sigmoid: return y * (T(1) - y);
  }
  return T(0);
}

template <class T>
void forward(const Pointwise& a, Stream stream) {
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  const PointwiseOp op = a.op;
  for_elements(a.x.count(), stream, [=] __device__(std::int64_t i) { y[i] = value_of(op, x[i]); });
}

template <class T>
void backward(const PointwiseGradient& g, Stream stream) {
  const T *x = g.forward.x.as<T>(), *y = g.forward.y.as<T>(), *grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x.as<T>();
  const PointwiseOp op = g.forward.op;
  for_elements(g.forward.x.count(), stream,
               [=] __device__(std::int64_t i) { grad_x[i] += grad_y[i] * slope_of(op, x[i], y[i]); });
}

}  // namespace

void pointwise_forward(const Pointwise& args, Stream stream) {
  expect("pointwise", "y", args.y, args.x.shape, args.x.dtype);
  dispatch_float("pointwise", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void pointwise_backward(const PointwiseGradient& args, Stream stream) {
  expect("pointwise", "grad_y", args.grad_y, args.forward.x.shape, args.forward.x.dtype);
  expect("pointwise", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  dispatch_float("pointwise", args.forward.x.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
