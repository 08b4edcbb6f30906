// Per network: a_0 = x, a_l = f(a_{l-1} W_l^T + b_l), logits = a_{L-1} W_L^T + b_L; slope_l = f'.
// Backward: delta_L = grad_logits, delta_{l-1} = (delta_l W_l) * slope_{l-1}; grad W_l = delta_l^T a_{l-1}.
// Bytes: 4 rows (inputs + 2 hidden + classes) per network forward, 4 rows (inputs + 2 hidden) backward; x is shared and
// stays in the cache. Operations: 2 rows edges forward; backward as much for the weights and, without the first block,
// for the error signal. Of the first block only the share of x that is not zero, where that is small enough.
#include "kernels/subject_forward.hpp"

#include <atomic>

#include "kernels/cpu/first_layer.hpp"
#include "kernels/cpu/subject_activation.hpp"
#include "kernels/cpu/subject_tile.hpp"

namespace amend::kernels::cpu {

namespace {

void validate(const SubjectForward& a) {
  constexpr const char* kName = "subject_forward";
  const BlockTable& table = a.table;
  const DType dtype = a.x.dtype;
  check(a.x.shape.rank() == 2, kName, "expected `x` of rank 2, got shape ", a.x.shape);
  check(a.logits.shape.rank() == 3, kName, "expected `logits` of rank 3, got shape ", a.logits.shape);
  const std::int64_t rows = a.logits.extent(1), networks = table.network_count;
  expect(kName, "weight", a.weight, {table.edge_count}, dtype);
  expect(kName, "bias", a.bias, {table.node_count}, dtype);
  if (networks > 0) {
    expect(kName, "x", a.x, {a.x.extent(0), table.network[0].inputs}, dtype);
    expect(kName, "logits", a.logits, {networks, rows, table.network[0].outputs}, dtype);
  }
  if (a.row_index) {
    expect(kName, "row_index", a.row_index, {networks, rows}, DType::int32);
    const std::int32_t* index = a.row_index.as<std::int32_t>();
    for (std::int64_t i = 0; i < networks * rows; ++i)
      check(index[i] >= 0 && index[i] < a.x.extent(0), kName, "row index ", index[i], " is outside the ", a.x.extent(0),
            " rows of x");
  } else {
    check(rows == a.x.extent(0), kName, "expected logits of ", a.x.extent(0), " rows, got ", rows);
  }
  if (a.activation) expect(kName, "activation", a.activation, {table.hidden_count, rows}, dtype);
  if (a.slope) expect(kName, "slope", a.slope, {table.hidden_count, rows}, dtype);
}

template <class T>
void forward(const SubjectForward& a) {
  const BlockTable& table = a.table;
  const std::int64_t rows = a.logits.extent(1), classes = a.logits.extent(2), widest = widest_layer(table);
  const T* weight = a.weight.as<T>();
  const T* bias = a.bias.as<T>();
  T* activation = a.activation ? a.activation.as<T>() : nullptr;
  T* slope = a.slope ? a.slope.as<T>() : nullptr;
  T* logits = a.logits.as<T>();
  const auto input = first_layer_input<T>(a.x, a.x_id, a.row_index);
  for_subject_tiles(table, rows, [&](const Network& network, std::int64_t, std::int64_t first, std::int64_t count) {
    const std::int64_t b = &network - table.network;
    const Block* block = table.block + network.first_block;
    const HiddenLayers<T> activations(activation, table, network, rows, first);
    const HiddenLayers<T> slopes(slope, table, network, rows, first);
    const T* source = nullptr;
    for (std::int32_t l = 0; l < network.block_count; ++l) {
      const bool last = l + 1 == network.block_count;
      const std::int64_t in = block[l].cols, out = block[l].rows;
      T* y = last         ? logits + (b * rows + first) * classes
             : activation ? activations.target(l)
                          : scratch<T>(1 + l % 2, kSubjectRows * widest);
      const T *own_weight = weight + block[l].edge_offset, *own_bias = bias + block[l].target_offset;
      if (l == 0)
        first_layer(input.tile(b, first, count), count, out, in, own_weight, own_bias, y);
      else
        affine(count, out, in, source, own_weight, own_bias, y);
      if (!last) activate(network.activation, count * out, y, slope ? slopes.target(l) : nullptr);
      source = y;
    }
  });
}

template <class T>
void backward(const SubjectForwardGradient& g) {
  const SubjectForward& a = g.forward;
  const BlockTable& table = a.table;
  const std::int64_t rows = a.logits.extent(1), classes = a.logits.extent(2), tiles = subject_tiles(rows);
  const std::int64_t widest = widest_layer(table);
  const T* weight = a.weight.as<T>();
  const T* grad_logits = g.grad_logits.as<T>();
  T* partial_weight = g.grad_weight ? scratch<T>(3, tiles * table.edge_count) : nullptr;
  T* partial_bias = g.grad_bias ? scratch<T>(4, tiles * table.node_count) : nullptr;
  const auto input = first_layer_input<T>(a.x, a.x_id, a.row_index);
  for_subject_tiles(table, rows, [&](const Network& network, std::int64_t t, std::int64_t first, std::int64_t count) {
    const std::int64_t b = &network - table.network;
    const Block* block = table.block + network.first_block;
    const HiddenLayers<T> activations(a.activation.as<T>(), table, network, rows, first);
    const HiddenLayers<T> slopes(a.slope.as<T>(), table, network, rows, first);
    T* tile_bias = partial_bias ? partial_bias + t * table.node_count : nullptr;
    if (tile_bias) std::fill_n(tile_bias + network.node_offset, network.inputs, T(0));
    subject_tile_backward(network, block, weight, slopes, count, grad_logits + (b * rows + first) * classes,
                          scratch<T>(5, 2 * kSubjectRows * widest), widest, [&](std::int32_t l, const T* delta) {
                            const std::int64_t in = block[l].cols, out = block[l].rows;
                            if (tile_bias) column_sums(delta, count, out, tile_bias + block[l].target_offset);
                            if (!partial_weight) return;
                            T* sum = partial_weight + t * table.edge_count + block[l].edge_offset;
                            if (l == 0)
                              first_layer_gradient<T>(input.tile(b, first, count), nullptr, count, out, in, delta, sum);
                            else
                              gemm(Trans::yes, Trans::no, out, in, count, T(1), delta, out, activations.source(l), in,
                                   T(0), sum, in);
                          });
  });
  if (partial_weight) add_partials(partial_weight, tiles, table.edge_count, g.grad_weight.as<T>());
  if (partial_bias) add_partials(partial_bias, tiles, table.node_count, g.grad_bias.as<T>());
}

}  // namespace
}  // namespace amend::kernels::cpu

namespace amend::kernels {

std::uint64_t new_x_id() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace amend::kernels

namespace amend::kernels::cpu {

void subject_forward(const SubjectForward& args, Stream) {
  validate(args);
  dispatch_float("subject_forward", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void subject_backward(const SubjectForwardGradient& args, Stream) {
  constexpr const char* kName = "subject_backward";
  const SubjectForward& a = args.forward;
  validate(a);
  const Shape hidden{a.table.hidden_count, a.logits.extent(1)};
  expect(kName, "activation", a.activation, hidden, a.x.dtype);
  expect(kName, "slope", a.slope, hidden, a.x.dtype);
  expect(kName, "grad_logits", args.grad_logits, a.logits.shape, a.x.dtype);
  if (args.grad_weight) expect(kName, "grad_weight", args.grad_weight, a.weight.shape, a.x.dtype);
  if (args.grad_bias) expect(kName, "grad_bias", args.grad_bias, a.bias.shape, a.x.dtype);
  dispatch_float(kName, a.x.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
