// x' = x + alpha (W2 silu(W1 layer_norm[x, m, c] + b1) + b2), one network a task. Forward in one pass over the nodes
// (kernels/cpu/vector/node_update.hpp), W1 c once a tile of them; backward has the normalised rows in scratch memory.
// Bytes a node: 4 (2 H + M) forward. Operations a node: 2 F (2 H + M) forward, three times 2 F (2 H + M + P) backward.
#include "kernels/node_update.hpp"

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/tile.hpp"
#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/vector.hpp"
#include "kernels/math.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr double kLayerNormEpsilon = 1e-5;

template <class T>
struct Mlp {
  std::int64_t h, m, p, f, in;
  const T *node, *aggregate, *condition, *weight1, *weight2, *alpha;
  AffineMap<T> first, second;

  explicit Mlp(const NodeUpdate& a)
      : h(a.node.extent(1)),
        m(a.aggregate.extent(1)),
        p(a.condition.extent(1)),
        f(a.weight1.extent(0)),
        in(h + m + p),
        node(a.node.as<T>()),
        aggregate(a.aggregate.as<T>()),
        condition(a.condition.as<T>()),
        weight1(a.weight1.as<T>()),
        weight2(a.weight2.as<T>()),
        alpha(a.alpha.as<T>()),
        first(f, in, weight1, a.bias1.as<T>(), 9),
        second(h, f, weight2, a.bias2.as<T>(), 10) {}

  /// normal (rows, in), inverse (rows), pre (rows, f), hidden (rows, f) and product = W2 hidden + b2 (rows, h).
  void run(const RowTile& tile, T* normal, T* inverse, T* pre, T* hidden, T* product) const {
    const Functions<T>& functions = vector_functions().of<T>();
    for (std::int64_t r = 0; r < tile.count; ++r) {
      T* x = normal + r * in;
      std::copy_n(node + (tile.first + r) * h, h, x);
      std::copy_n(aggregate + (tile.first + r) * m, m, x + h);
      std::copy_n(condition + tile.segment * p, p, x + h + m);
      inverse[r] = functions.normalise_row(x, in, static_cast<T>(kLayerNormEpsilon));
    }
    first(tile.count, normal, pre);
    functions.silu_row(pre, tile.count * f, hidden);
    second(tile.count, hidden, product);
  }
};

constexpr std::int64_t kRows = 256;

/// W1 (F, in), every row without its mean.
template <class T>
const T* centred_rows(const T* weight, std::int64_t f, std::int64_t in, int slot) {
  using native_target::for_vectors, native_target::load, native_target::store, native_target::Vector;
  T* centred = scratch<T>(slot, f * in);
  for (std::int64_t row = 0; row < f; ++row) {
    const T* from = weight + row * in;
    T* to = centred + row * in;
    Vector<T> sums{};
    for_vectors<T, 0>(in, [&](std::int64_t i, auto lanes) { sums += load(from + i, lanes); });
    const Vector<T> mean = native_target::broadcast(native_target::lane_sum<T>(sums) / static_cast<T>(in));
    for_vectors<T, 0>(in, [&](std::int64_t i, auto lanes) { store(to + i, load(from + i, lanes) - mean, lanes); });
  }
  return centred;
}

template <class T>
void forward(const NodeUpdate& a) {
  const std::int64_t h = a.node.extent(1), m = a.aggregate.extent(1), p = a.condition.extent(1), in = h + m + p,
                     f = a.weight1.extent(0);
  const Functions<T>& functions = vector_functions().of<T>();
  const T* weight1 = centred_rows(a.weight1.as<T>(), f, in, 5);
  const Packed<T> packed1(weight1, f, in, true, 9), packed2(a.weight2.as<T>(), h, f, true, 10);
  const T *node = a.node.as<T>(), *aggregate = a.aggregate.as<T>(), *bias1 = a.bias1.as<T>(), *bias2 = a.bias2.as<T>();
  T* out = a.node_out.as<T>();
  const auto& tiles = row_tiles(a.table.network_nodes, shared_rows(a.table.node_count, kRows, 2 * f * (in + h)));
  parallel_for(static_cast<std::int64_t>(tiles.size()), [&](std::int64_t t) {
    const RowTile& tile = tiles[static_cast<std::size_t>(t)];
    const T* condition = a.condition.as<T>() + tile.segment * p;
    T sum = 0, squares = 0;
    for (std::int64_t i = 0; i < p; ++i) sum += condition[i];
    const T mean = p > 0 ? sum / static_cast<T>(p) : T(0);
    for (std::int64_t i = 0; i < p; ++i) squares += (condition[i] - mean) * (condition[i] - mean);
    T* start = scratch<T>(0, f);
    functions.dots({.rows = 1,
                    .columns = f,
                    .terms = p,
                    .a = condition,
                    .a_row = p,
                    .w = weight1 + h + m,
                    .w_row = in,
                    .bias = nullptr,
                    .to = start});
    functions.node_update_forward({.rows = tile.count,
                                   .h = h,
                                   .m = m,
                                   .in = in,
                                   .f = f,
                                   .node = node + tile.first * h,
                                   .aggregate = aggregate + tile.first * m,
                                   .condition_mean = mean,
                                   .condition_squares = squares,
                                   .epsilon = static_cast<T>(kLayerNormEpsilon),
                                   .start = start,
                                   .packed1 = packed1.get(),
                                   .packed2 = packed2.get(),
                                   .bias1 = bias1,
                                   .bias2 = bias2,
                                   .alpha = a.alpha.as<T>() + tile.segment * h,
                                   .out = out + tile.first * h,
                                   .scratch = scratch<T>(1, functions.node_update_scratch(f))});
  });
}

template <class T>
void backward(const NodeUpdateGradient& g) {
  const NodeUpdate& a = g.forward;
  const Mlp<T> mlp(a);
  const std::int64_t h = mlp.h, m = mlp.m, p = mlp.p, f = mlp.f, in = mlp.in;
  // One tile's partial sums: weight1, bias1, weight2, bias2, then condition and alpha of its network.
  const std::int64_t bias1 = f * in, weight2 = bias1 + f, bias2 = weight2 + h * f, condition = bias2 + h,
                     alphas = condition + p, total = alphas + h;
  const T* grad_out = g.grad_node_out.as<T>();
  T* grad_node = g.grad_node.as<T>();
  T* grad_aggregate = g.grad_aggregate.as<T>();
  const auto& tiles = row_tiles(a.table.network_nodes, kRows);
  const auto parts = static_cast<std::int64_t>(tiles.size());
  T* partials = scratch<T>(8, parts * total);
  parallel_for(parts, [&](std::int64_t t) {
    const RowTile& tile = tiles[static_cast<std::size_t>(t)];
    T* normal = scratch<T>(0, kRows * in);
    T* inverse = scratch<T>(1, kRows);
    T* pre = scratch<T>(2, kRows * f);
    T* hidden = scratch<T>(3, kRows * f);
    T* product = scratch<T>(4, kRows * h);
    T* grad_hidden = scratch<T>(5, kRows * f);
    T* grad_normal = scratch<T>(6, kRows * in);
    T* sums = partials + t * total;
    std::fill_n(sums, total, T(0));
    mlp.run(tile, normal, inverse, pre, hidden, product);
    const T* alpha = mlp.alpha + tile.segment * h;
    for (std::int64_t r = 0; r < tile.count; ++r)
      for (std::int64_t i = 0; i < h; ++i) {
        const std::int64_t at = (tile.first + r) * h + i;
        sums[alphas + i] += grad_out[at] * product[r * h + i];
        product[r * h + i] = grad_out[at] * alpha[i];
        sums[bias2 + i] += product[r * h + i];
        grad_node[at] += grad_out[at];
      }
    gemm(Trans::yes, Trans::no, h, f, tile.count, T(1), product, h, hidden, f, T(0), sums + weight2, f);
    gemm(Trans::no, Trans::no, tile.count, f, h, T(1), product, h, mlp.weight2, f, T(0), grad_hidden, f);
    for (std::int64_t r = 0; r < tile.count; ++r)
      for (std::int64_t i = 0; i < f; ++i) {
        grad_hidden[r * f + i] *= silu_slope(pre[r * f + i]);
        sums[bias1 + i] += grad_hidden[r * f + i];
      }
    gemm(Trans::yes, Trans::no, f, in, tile.count, T(1), grad_hidden, f, normal, in, T(0), sums, in);
    gemm(Trans::no, Trans::no, tile.count, in, f, T(1), grad_hidden, f, mlp.weight1, in, T(0), grad_normal, in);
    for (std::int64_t r = 0; r < tile.count; ++r) {
      T* gx = grad_normal + r * in;
      const T* x = normal + r * in;
      T sum = 0, dot = 0;
      for (std::int64_t i = 0; i < in; ++i) {
        sum += gx[i];
        dot += gx[i] * x[i];
      }
      const T mean = sum / static_cast<T>(in), slope = dot / static_cast<T>(in);
      for (std::int64_t i = 0; i < in; ++i) gx[i] = (gx[i] - mean - x[i] * slope) * inverse[r];
      for (std::int64_t i = 0; i < h; ++i) grad_node[(tile.first + r) * h + i] += gx[i];
      for (std::int64_t i = 0; i < m; ++i) grad_aggregate[(tile.first + r) * m + i] += gx[h + i];
      for (std::int64_t i = 0; i < p; ++i) sums[condition + i] += gx[h + m + i];
    }
  });
  const auto add = [&](T* target, std::int64_t offset, std::int64_t count, bool per_network) {
    for (std::int64_t t = 0; t < parts; ++t) {
      T* out = target + (per_network ? tiles[static_cast<std::size_t>(t)].segment * count : 0);
      for (std::int64_t i = 0; i < count; ++i) out[i] += partials[t * total + offset + i];
    }
  };
  add(g.grad_weight1.as<T>(), 0, f * in, false);
  add(g.grad_bias1.as<T>(), bias1, f, false);
  add(g.grad_weight2.as<T>(), weight2, h * f, false);
  add(g.grad_bias2.as<T>(), bias2, h, false);
  add(g.grad_condition.as<T>(), condition, p, true);
  add(g.grad_alpha.as<T>(), alphas, h, true);
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

void node_update_forward(const NodeUpdate& args, Stream) {
  validate(args);
  dispatch_float("node_update", args.node.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void node_update_backward(const NodeUpdateGradient& args, Stream) {
  validate(args.forward);
  const NodeUpdate& a = args.forward;
  expect("node_update", "grad_node_out", args.grad_node_out, a.node.shape, a.node.dtype);
  expect("node_update", "grad_node", args.grad_node, a.node.shape, a.node.dtype);
  expect("node_update", "grad_aggregate", args.grad_aggregate, a.aggregate.shape, a.node.dtype);
  expect("node_update", "grad_condition", args.grad_condition, a.condition.shape, a.node.dtype);
  expect("node_update", "grad_weight1", args.grad_weight1, a.weight1.shape, a.node.dtype);
  expect("node_update", "grad_bias1", args.grad_bias1, a.bias1.shape, a.node.dtype);
  expect("node_update", "grad_weight2", args.grad_weight2, a.weight2.shape, a.node.dtype);
  expect("node_update", "grad_bias2", args.grad_bias2, a.bias2.shape, a.node.dtype);
  expect("node_update", "grad_alpha", args.grad_alpha, a.alpha.shape, a.node.dtype);
  dispatch_float("node_update", a.node.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
