// x' = x + alpha (W2 silu(W1 layer_norm[x, m, c] + b1) + b2), in plain float32: the exact mode, a launch a step, with
// the steps' results in the workspace. Bytes a node that it must cost: 4 (2 H + M) forward; this form writes and reads
// 4 (H + M + P + 2 F + H) more. Operations a node: 2 F (2 H + M + P) forward, three times that backward.
#include "kernels/node_update.hpp"

#include <cmath>

#include "kernels/cuda/gemm.cuh"
#include "kernels/math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr double kLayerNormEpsilon = 1e-5;
constexpr int kRowWarps = kThreads / kWarp;

/// The inputs, and in the workspace what the forward pass computes on the way.
template <class T>
struct Mlp {
  std::int64_t nodes, networks, h, m, p, f, in;
  const T *node, *aggregate, *condition, *weight1, *bias1, *weight2, *bias2, *alpha;
  Segments segments;
  T *normal, *inverse, *pre, *hidden, *product;  // (nodes, in), (nodes), (nodes, F), (nodes, F), (nodes, H)

  explicit Mlp(const NodeUpdate& a)
      : nodes(a.table.node_count),
        networks(a.table.network_count),
        h(a.node.extent(1)),
        m(a.aggregate.extent(1)),
        p(a.condition.extent(1)),
        f(a.weight1.extent(0)),
        in(h + m + p),
        node(a.node.as<T>()),
        aggregate(a.aggregate.as<T>()),
        condition(a.condition.as<T>()),
        weight1(a.weight1.as<T>()),
        bias1(a.bias1.as<T>()),
        weight2(a.weight2.as<T>()),
        bias2(a.bias2.as<T>()),
        alpha(a.alpha.as<T>()),
        segments(a.table.network_nodes) {}

  /// Elements `place` lays out.
  std::int64_t scratch() const { return nodes * (in + 1 + 2 * f + h); }
  /// Returns what is behind them.
  T* place(T* memory) {
    normal = memory;
    inverse = normal + nodes * in;
    pre = inverse + nodes;
    hidden = pre + nodes * f;
    product = hidden + nodes * f;
    return product + nodes * h;
  }
  /// Column i of what is normalised: x, then m, then c.
  __device__ T input(std::int64_t row, std::int64_t network, std::int64_t i) const {
    return i < h ? node[row * h + i] : i < h + m ? aggregate[row * m + i - h] : condition[network * p + i - h - m];
  }
};

/// normal and inverse of a node a warp.
template <class T>
__global__ void __launch_bounds__(kThreads) normalise_kernel(Mlp<T> mlp) {
  const std::int64_t row = blockIdx.x * std::int64_t{kRowWarps} + threadIdx.x / kWarp;
  if (row >= mlp.nodes) return;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const std::int64_t network = segment_of(mlp.segments, row);
  T sum = T(0), squares = T(0);
  for (std::int64_t i = lane; i < mlp.in; i += kWarp) sum += mlp.input(row, network, i);
  const T mean = warp_sum(sum) / static_cast<T>(mlp.in);
  for (std::int64_t i = lane; i < mlp.in; i += kWarp) {
    const T centred = mlp.input(row, network, i) - mean;
    squares += centred * centred;
  }
  squares = warp_sum(squares);
  const T inverse = T(1) / std::sqrt(squares / static_cast<T>(mlp.in) + static_cast<T>(kLayerNormEpsilon));
  for (std::int64_t i = lane; i < mlp.in; i += kWarp)
    mlp.normal[row * mlp.in + i] = (mlp.input(row, network, i) - mean) * inverse;
  if (lane == 0) mlp.inverse[row] = inverse;
}

template <class T>
void run(const Mlp<T>& mlp, Stream stream) {
  launch(normalise_kernel<T>, grid_of(ceil_div(mlp.nodes, kRowWarps)), dim3(kThreads), 0, stream, mlp);
  multiply_rows(mlp.normal, mlp.weight1, mlp.bias1, mlp.pre, mlp.nodes, mlp.in, mlp.f, stream);
  T *pre = mlp.pre, *hidden = mlp.hidden;
  for_elements(mlp.nodes * mlp.f, stream, [=] __device__(std::int64_t i) { hidden[i] = silu(pre[i]); });
  multiply_rows<T>(mlp.hidden, mlp.weight2, mlp.bias2, mlp.product, mlp.nodes, mlp.f, mlp.h, stream);
}

template <class T>
void forward(const NodeUpdate& a, Stream stream) {
  Mlp<T> mlp(a);
  mlp.place(workspace<T>(stream, mlp.scratch()));
  run(mlp, stream);
  T* out = a.node_out.as<T>();
  for_elements(a.node.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / mlp.h, network = segment_of(mlp.segments, row);
    out[i] = mlp.node[i] + mlp.alpha[network * mlp.h + i - row * mlp.h] * mlp.product[i];
  });
}

/// sum[network, column] += the sum over the network's nodes of term(node, column), a thread a column, in node order.
template <class T, class Term>
void add_network_sums(const Mlp<T>& mlp, std::int64_t columns, T* sum, Stream stream, const Term& term) {
  const Segments segments = mlp.segments;
  for_elements(mlp.networks * columns, stream, [=] __device__(std::int64_t i) {
    const std::int64_t network = i / columns, column = i - network * columns;
    T total = T(0);
    for (std::int64_t row = segments.offset[network]; row < segments.offset[network + 1]; ++row)
      total += term(row, column);
    sum[i] += total;
  });
}

/// From the gradient of a normalised row to that of the row, in place, and on to x and m. A warp a node.
template <class T>
__global__ void __launch_bounds__(kThreads)
    normalise_gradient_kernel(Mlp<T> mlp, T* grad_normal, T* grad_node, T* grad_aggregate) {
  const std::int64_t row = blockIdx.x * std::int64_t{kRowWarps} + threadIdx.x / kWarp;
  if (row >= mlp.nodes) return;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  T* gx = grad_normal + row * mlp.in;
  const T* x = mlp.normal + row * mlp.in;
  T sum = T(0), dot = T(0);
  for (std::int64_t i = lane; i < mlp.in; i += kWarp) {
    sum += gx[i];
    dot += gx[i] * x[i];
  }
  const T mean = warp_sum(sum) / static_cast<T>(mlp.in), slope = warp_sum(dot) / static_cast<T>(mlp.in);
  for (std::int64_t i = lane; i < mlp.in; i += kWarp) {
    const T grad = (gx[i] - mean - x[i] * slope) * mlp.inverse[row];
    gx[i] = grad;
    if (i < mlp.h)
      grad_node[row * mlp.h + i] += grad;
    else if (i < mlp.h + mlp.m)
      grad_aggregate[row * mlp.m + i - mlp.h] += grad;
  }
}

template <class T>
void backward(const NodeUpdateGradient& g, Stream stream) {
  Mlp<T> mlp(g.forward);
  const std::int64_t nodes = mlp.nodes, h = mlp.h, f = mlp.f, in = mlp.in;
  if (nodes == 0) return;
  const std::int64_t parts = ceil_div(nodes, kPartRows), largest_weight = f * (in > h ? in : h);
  T* grad_hidden = mlp.place(workspace<T>(stream, mlp.scratch() + nodes * (f + in) + parts * largest_weight));
  T* grad_normal = grad_hidden + nodes * f;
  T* partial = grad_normal + nodes * in;
  run(mlp, stream);
  const T* grad_out = g.grad_node_out.as<T>();
  T *grad_node = g.grad_node.as<T>(), *product = mlp.product, *pre = mlp.pre;
  add_network_sums(mlp, h, g.grad_alpha.as<T>(), stream, [=] __device__(std::int64_t row, std::int64_t column) {
    return grad_out[row * h + column] * product[row * h + column];
  });
  // From here on `product` is the gradient of the product.
  for_elements(nodes * h, stream, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / h, network = segment_of(mlp.segments, row);
    product[i] = grad_out[i] * mlp.alpha[network * h + i - row * h];
    grad_node[i] += grad_out[i];
  });
  add_bias_gradient<T>(product, nodes, h, partial, g.grad_bias2.as<T>(), stream);
  add_weight_gradient<T>(product, mlp.hidden, nodes, f, h, partial, g.grad_weight2.as<T>(), stream);
  multiply_rows_back<T>(product, mlp.weight2, false, grad_hidden, nodes, f, h, stream);
  for_elements(nodes * f, stream, [=] __device__(std::int64_t i) { grad_hidden[i] *= silu_slope(pre[i]); });
  add_bias_gradient<T>(grad_hidden, nodes, f, partial, g.grad_bias1.as<T>(), stream);
  add_weight_gradient<T>(grad_hidden, mlp.normal, nodes, in, f, partial, g.grad_weight1.as<T>(), stream);
  multiply_rows_back<T>(grad_hidden, mlp.weight1, false, grad_normal, nodes, in, f, stream);
  launch(normalise_gradient_kernel<T>, grid_of(ceil_div(nodes, kRowWarps)), dim3(kThreads), 0, stream, mlp, grad_normal,
         grad_node, g.grad_aggregate.as<T>());
  const std::int64_t first = mlp.h + mlp.m;
  add_network_sums(mlp, mlp.p, g.grad_condition.as<T>(), stream, [=] __device__(std::int64_t row, std::int64_t column) {
    return grad_normal[row * in + first + column];
  });
}

void validate(const NodeUpdate& a) {
  const std::int64_t h = a.node.extent(1), m = a.aggregate.extent(1), p = a.condition.extent(1),
                     f = a.weight1.extent(0);
  const DType dtype = a.node.dtype;
  expect("node_update", "node", a.node, {a.table.node_count, h}, dtype);
  expect("node_update", "aggregate", a.aggregate, {a.table.node_count, m}, dtype);
  expect("node_update", "condition", a.condition, {a.table.network_count, p}, dtype);
  expect("node_update", "weight1", a.weight1, {f, h + m + p}, dtype);
  expect("node_update", "bias1", a.bias1, {f}, dtype);
  expect("node_update", "weight2", a.weight2, {h, f}, dtype);
  expect("node_update", "bias2", a.bias2, {h}, dtype);
  expect("node_update", "alpha", a.alpha, {a.table.network_count, h}, dtype);
  expect("node_update", "node_out", a.node_out, a.node.shape, dtype);
}

}  // namespace

void node_update_forward(const NodeUpdate& args, Stream stream) {
  validate(args);
  dispatch_float("node_update", args.node.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void node_update_backward(const NodeUpdateGradient& args, Stream stream) {
  validate(args.forward);
  const NodeUpdate& a = args.forward;
  const DType dtype = a.node.dtype;
  expect("node_update", "grad_node_out", args.grad_node_out, a.node.shape, dtype);
  expect("node_update", "grad_node", args.grad_node, a.node.shape, dtype);
  expect("node_update", "grad_aggregate", args.grad_aggregate, a.aggregate.shape, dtype);
  expect("node_update", "grad_condition", args.grad_condition, a.condition.shape, dtype);
  expect("node_update", "grad_weight1", args.grad_weight1, a.weight1.shape, dtype);
  expect("node_update", "grad_bias1", args.grad_bias1, a.bias1.shape, dtype);
  expect("node_update", "grad_weight2", args.grad_weight2, a.weight2.shape, dtype);
  expect("node_update", "grad_bias2", args.grad_bias2, a.bias2.shape, dtype);
  expect("node_update", "grad_alpha", args.grad_alpha, a.alpha.shape, dtype);
  dispatch_float("node_update", dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
