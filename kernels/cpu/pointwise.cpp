// y = f(x). Bytes: 8 per element forward, 16 backward. Operations: one transcendental.
#include "kernels/pointwise.hpp"

#include "kernels/cpu/tile.hpp"
#include "kernels/math.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr std::int64_t kChunk = 1 << 13;

template <class Body>
void for_elements(std::int64_t count, const Body& body) {
  parallel_for((count + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t end = std::min(count, (chunk + 1) * kChunk);
    for (std::int64_t i = chunk * kChunk; i < end; ++i) body(i);
  });
}

template <class T>
void forward(const Pointwise& a) {
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  switch (a.op) {
    case PointwiseOp::relu: return for_elements(a.x.count(), [=](std::int64_t i) { y[i] = x[i] > T(0) ? x[i] : T(0); });
    case PointwiseOp::silu: return for_elements(a.x.count(), [=](std::int64_t i) { y[i] = silu(x[i]); });
    case PointwiseOp::tanh: return for_elements(a.x.count(), [=](std::int64_t i) { y[i] = hyperbolic_tangent(x[i]); });
    case PointwiseOp::sigmoid: return for_elements(a.x.count(), [=](std::int64_t i) { y[i] = sigmoid(x[i]); });
  }
}

template <class T>
void backward(const PointwiseGradient& g) {
  const T* x = g.forward.x.as<T>();
  const T* y = g.forward.y.as<T>();
  const T* gy = g.grad_y.as<T>();
  T* gx = g.grad_x.as<T>();
  const std::int64_t count = g.forward.x.count();
  switch (g.forward.op) {
    case PointwiseOp::relu: return for_elements(count, [=](std::int64_t i) { gx[i] += x[i] > T(0) ? gy[i] : T(0); });
    case PointwiseOp::silu: return for_elements(count, [=](std::int64_t i) { gx[i] += gy[i] * silu_slope(x[i]); });
    case PointwiseOp::tanh: return for_elements(count, [=](std::int64_t i) { gx[i] += gy[i] * (T(1) - y[i] * y[i]); });
    case PointwiseOp::sigmoid:
      return for_elements(count, [=](std::int64_t i) { gx[i] += gy[i] * y[i] * (T(1) - y[i]); });
  }
}

}  // namespace

void pointwise_forward(const Pointwise& args, Stream) {
  expect("pointwise", "y", args.y, args.x.shape, args.x.dtype);
  dispatch_float("pointwise", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void pointwise_backward(const PointwiseGradient& args, Stream) {
  expect("pointwise", "grad_y", args.grad_y, args.forward.x.shape, args.forward.x.dtype);
  expect("pointwise", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  dispatch_float("pointwise", args.forward.x.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
