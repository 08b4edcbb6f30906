// y (R, O) = x (R, I) W^T (I, O) + b.
// Bytes: 4 (R I + R O) forward; backward reads both again and writes grad_x. Operations: 2 R I O, and 4 R I O backward.
#include "kernels/linear.hpp"

#include "kernels/cpu/column_sums.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr std::int64_t kForwardRows = 512;
// Every tile of a backward pass leaves a partial weight gradient: larger tiles, fewer partials.
constexpr std::int64_t kBackwardRows = 2048;

void validate(const Linear& a) {
  const DType dtype = a.x.dtype;
  const std::int64_t rows = a.x.extent(0), in = a.x.extent(1), out = a.weight.extent(0);
  check(a.segments.rows() == rows, "linear", "segments cover ", a.segments.rows(), " rows, x has ", rows);
  expect("linear", "weight", a.weight, {out, in}, dtype);
  if (a.bias) expect("linear", "bias", a.bias, {out}, dtype);
  expect("linear", "y", a.y, {rows, out}, dtype);
}

template <class T>
void forward(const Linear& a) {
  const std::int64_t in = a.x.extent(1), out = a.weight.extent(0);
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  const AffineMap<T> map(out, in, a.weight.as<T>(), elements<T>(a.bias), 2);
  const auto& tiles = row_tiles(a.segments, shared_rows(a.x.extent(0), kForwardRows, 2 * in * out));
  parallel_for(static_cast<std::int64_t>(tiles.size()), [&](std::int64_t t) {
    const RowTile tile = tiles[static_cast<std::size_t>(t)];
    map(tile.count, x + tile.first * in, y + tile.first * out);
  });
}

template <class T>
void backward(const LinearGradient& g) {
  const Linear& a = g.forward;
  const std::int64_t in = a.x.extent(1), out = a.weight.extent(0);
  const T* x = a.x.as<T>();
  const T* weight = a.weight.as<T>();
  const T* grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x ? g.grad_x.as<T>() : nullptr;
  const auto& tiles = row_tiles(a.segments, kBackwardRows);
  const std::int64_t parts = static_cast<std::int64_t>(tiles.size());
  T* partial_weight = g.grad_weight ? scratch<T>(0, parts * out * in) : nullptr;
  T* partial_bias = g.grad_bias ? scratch<T>(1, parts * out) : nullptr;
  parallel_for(parts, [&](std::int64_t t) {
    const RowTile tile = tiles[static_cast<std::size_t>(t)];
    const T* grad_tile = grad_y + tile.first * out;
    if (grad_x)
      gemm(Trans::no, Trans::no, tile.count, in, out, T(1), grad_tile, out, weight, in, T(1), grad_x + tile.first * in,
           in);
    if (partial_weight)
      gemm(Trans::yes, Trans::no, out, in, tile.count, T(1), grad_tile, out, x + tile.first * in, in, T(0),
           partial_weight + t * out * in, in);
    if (partial_bias) column_sums(grad_tile, tile.count, out, partial_bias + t * out);
  });
  if (partial_weight) add_partials(partial_weight, parts, out * in, g.grad_weight.as<T>());
  if (partial_bias) add_partials(partial_bias, parts, out, g.grad_bias.as<T>());
}

}  // namespace

void linear_forward(const Linear& args, Stream) {
  validate(args);
  dispatch_float("linear", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void linear_backward(const LinearGradient& args, Stream) {
  validate(args.forward);
  expect("linear", "grad_y", args.grad_y, args.forward.y.shape, args.forward.x.dtype);
  if (args.grad_x) expect("linear", "grad_x", args.grad_x, args.forward.x.shape, args.forward.x.dtype);
  if (args.grad_weight)
    expect("linear", "grad_weight", args.grad_weight, args.forward.weight.shape, args.forward.x.dtype);
  if (args.grad_bias)
    expect("linear", "grad_bias", args.grad_bias, {args.forward.weight.extent(0)}, args.forward.x.dtype);
  dispatch_float("linear", args.forward.x.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
