// h = relu(W e + W2 e2 + u_i + v_j + kind_bias); [h = relu(mix h);] out = head h + head_bias.
// Bytes an edge: 4 (D + D2 + outputs) forward, the same and the gradients backward; hidden layers stay in a tile.
// Operations an edge: 2 H (D + D2 + H + outputs) forward, three times that backward.
#include "kernels/edit_head.hpp"

#include "kernels/cpu/block_chunk.hpp"
#include "kernels/cpu/gemm.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
struct Head {
  std::int64_t d, d2, h, outputs;
  const T *edge, *weight, *edge2, *weight2, *projection, *kind_bias, *mix, *head, *head_bias;

  explicit Head(const EditHead& a)
      : d(a.edge.extent(1)),
        d2(a.edge2 ? a.edge2.extent(1) : 0),
        h(a.weight.extent(0)),
        outputs(a.out.extent(1)),
        edge(a.edge.as<T>()),
        weight(a.weight.as<T>()),
        edge2(a.edge2 ? a.edge2.as<T>() : nullptr),
        weight2(a.edge2 ? a.weight2.as<T>() : nullptr),
        projection(a.projection.as<T>()),
        kind_bias(a.kind_bias.as<T>()),
        mix(a.mix ? a.mix.as<T>() : nullptr),
        head(a.head.as<T>()),
        head_bias(a.head_bias.as<T>()) {}

  /// First hidden layer of `count` edges of `block` from its edge `begin` on, and the second into `second` if there is
  /// one. Returns the last of them.
  T* hidden(const Block& block, std::int64_t begin, std::int64_t count, T* first, T* second) const {
    const std::int64_t at0 = block.edge_offset + begin;
    const T* bias = kind_bias + static_cast<std::int64_t>(block.kind) * h;
    gemm(Trans::no, Trans::yes, count, h, d, T(1), edge + at0 * d, d, weight, d, T(0), first, h);
    if (edge2) gemm(Trans::no, Trans::yes, count, h, d2, T(1), edge2 + at0 * d2, d2, weight2, d2, T(1), first, h);
    for_row_pieces(begin, begin + count, block.cols,
                   [&](std::int64_t row, std::int64_t col, std::int64_t at, std::int64_t n) {
                     const T* u = projection + (block.target_offset + row) * 2 * h;
                     for (std::int64_t k = 0; k < n; ++k) {
                       const T* v = projection + (block.source_offset + col + k) * 2 * h + h;
                       T* z = first + (at + k) * h;
                       for (std::int64_t i = 0; i < h; ++i) {
                         const T sum = z[i] + u[i] + v[i] + bias[i];
                         z[i] = sum > T(0) ? sum : T(0);
                       }
                     }
                   });
    if (!mix) return first;
    gemm(Trans::no, Trans::yes, count, h, h, T(1), first, h, mix, h, T(0), second, h);
    for (std::int64_t i = 0; i < count * h; ++i) second[i] = second[i] > T(0) ? second[i] : T(0);
    return second;
  }
};

template <class T>
void forward(const EditHead& a) {
  const Head<T> net(a);
  const ChunkList& list = block_chunks(a.table);
  T* out = a.out.as<T>();
  parallel_for(static_cast<std::int64_t>(list.chunk.size()), [&](std::int64_t c) {
    const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
    const Block& block = a.table.block[chunk.block];
    const auto kind = static_cast<std::int64_t>(block.kind);
    T* first = scratch<T>(2, kTileEdges * net.h);
    T* second = scratch<T>(3, kTileEdges * net.h);
    const std::int64_t end = std::int64_t{chunk.first_row + chunk.row_count} * block.cols;
    for (std::int64_t begin = std::int64_t{chunk.first_row} * block.cols; begin < end; begin += kTileEdges) {
      const std::int64_t count = std::min(kTileEdges, end - begin);
      const T* last = net.hidden(block, begin, count, first, second);
      T* tile = out + (block.edge_offset + begin) * net.outputs;
      for (std::int64_t k = 0; k < count; ++k)
        std::copy_n(net.head_bias + kind * net.outputs, net.outputs, tile + k * net.outputs);
      gemm(Trans::no, Trans::yes, count, net.outputs, net.h, T(1), last, net.h, net.head + kind * net.outputs * net.h,
           net.h, T(1), tile, net.outputs);
    }
  });
}

/// Where the weight gradients of one chunk lie among its partial sums.
struct Layout {
  std::int64_t weight, weight2, mix, head, head_bias, kind_bias, total;

  template <class T>
  explicit Layout(const Head<T>& net) {
    weight = 0;
    weight2 = weight + net.h * net.d;
    mix = weight2 + net.h * net.d2;
    head = mix + (net.mix ? net.h * net.h : 0);
    head_bias = head + net.outputs * net.h;
    kind_bias = head_bias + net.outputs;
    total = kind_bias + net.h;
  }
};

template <class T>
void backward(const EditHeadGradient& g) {
  const EditHead& a = g.forward;
  const Head<T> net(a);
  const Layout layout(net);
  const std::int64_t h = net.h, outputs = net.outputs;
  const ChunkList& list = block_chunks(a.table);
  const auto chunks = static_cast<std::int64_t>(list.chunk.size());
  const T* grad_out = g.grad_out.as<T>();
  T* grad_edge = g.grad_edge ? g.grad_edge.as<T>() : nullptr;
  T* grad_edge2 = g.grad_edge2 ? g.grad_edge2.as<T>() : nullptr;
  T* grad_projection = g.grad_projection.as<T>();
  T* columns = scratch<T>(0, list.columns * h);
  T* partials = scratch<T>(1, chunks * layout.total);
  parallel_for(chunks, [&](std::int64_t c) {
    const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
    const Block& block = a.table.block[chunk.block];
    const T* head = net.head + static_cast<std::int64_t>(block.kind) * outputs * h;
    T* first = scratch<T>(2, kTileEdges * h);
    T* second = scratch<T>(3, kTileEdges * h);
    T* grad_last = scratch<T>(4, kTileEdges * h);
    T* grad_first = scratch<T>(5, kTileEdges * h);
    T* column = columns + chunk.column_offset * h;
    std::fill_n(column, block.cols * h, T(0));
    T* sums = partials + c * layout.total;
    std::fill_n(sums, layout.total, T(0));
    const std::int64_t end = std::int64_t{chunk.first_row + chunk.row_count} * block.cols;
    for (std::int64_t begin = std::int64_t{chunk.first_row} * block.cols; begin < end; begin += kTileEdges) {
      const std::int64_t count = std::min(kTileEdges, end - begin), at0 = block.edge_offset + begin;
      const T* last = net.hidden(block, begin, count, first, second);
      const T* go = grad_out + at0 * outputs;
      gemm(Trans::yes, Trans::no, outputs, h, count, T(1), go, outputs, last, h, T(1), sums + layout.head, h);
      for (std::int64_t k = 0; k < count; ++k)
        for (std::int64_t o = 0; o < outputs; ++o) sums[layout.head_bias + o] += go[k * outputs + o];
      gemm(Trans::no, Trans::no, count, h, outputs, T(1), go, outputs, head, h, T(0), grad_last, h);
      for (std::int64_t i = 0; i < count * h; ++i) grad_last[i] = last[i] > T(0) ? grad_last[i] : T(0);
      T* grad_z = grad_last;
      if (net.mix) {
        gemm(Trans::yes, Trans::no, h, h, count, T(1), grad_last, h, first, h, T(1), sums + layout.mix, h);
        gemm(Trans::no, Trans::no, count, h, h, T(1), grad_last, h, net.mix, h, T(0), grad_first, h);
        for (std::int64_t i = 0; i < count * h; ++i) grad_first[i] = first[i] > T(0) ? grad_first[i] : T(0);
        grad_z = grad_first;
      }
      gemm(Trans::yes, Trans::no, h, net.d, count, T(1), grad_z, h, net.edge + at0 * net.d, net.d, T(1),
           sums + layout.weight, net.d);
      if (net.edge2)
        gemm(Trans::yes, Trans::no, h, net.d2, count, T(1), grad_z, h, net.edge2 + at0 * net.d2, net.d2, T(1),
             sums + layout.weight2, net.d2);
      if (grad_edge)
        gemm(Trans::no, Trans::no, count, net.d, h, T(1), grad_z, h, net.weight, net.d, T(1), grad_edge + at0 * net.d,
             net.d);
      if (grad_edge2)
        gemm(Trans::no, Trans::no, count, net.d2, h, T(1), grad_z, h, net.weight2, net.d2, T(1),
             grad_edge2 + at0 * net.d2, net.d2);
      T* grad_kind = sums + layout.kind_bias;
      for_row_pieces(begin, begin + count, block.cols,
                     [&](std::int64_t row, std::int64_t col, std::int64_t at, std::int64_t n) {
                       T* grad_u = grad_projection + (block.target_offset + row) * 2 * h;
                       for (std::int64_t k = 0; k < n; ++k) {
                         const T* z = grad_z + (at + k) * h;
                         T* grad_v = column + (col + k) * h;
                         for (std::int64_t i = 0; i < h; ++i) {
                           grad_u[i] += z[i];
                           grad_v[i] += z[i];
                           grad_kind[i] += z[i];
                         }
                       }
                     });
    }
  });
  add_chunk_columns(a.table, list, columns, h, grad_projection, 2 * h, h, [](const Block&) { return T(1); });

  const auto add = [&](T* target, std::int64_t offset, std::int64_t count, std::int64_t kind_stride) {
    for (std::int64_t c = 0; c < chunks; ++c) {
      const auto kind = static_cast<std::int64_t>(a.table.block[list.chunk[static_cast<std::size_t>(c)].block].kind);
      const T* part = partials + c * layout.total + offset;
      for (std::int64_t i = 0; i < count; ++i) target[kind * kind_stride + i] += part[i];
    }
  };
  add(g.grad_weight.as<T>(), layout.weight, h * net.d, 0);
  if (net.edge2) add(g.grad_weight2.as<T>(), layout.weight2, h * net.d2, 0);
  if (net.mix) add(g.grad_mix.as<T>(), layout.mix, h * h, 0);
  add(g.grad_head.as<T>(), layout.head, outputs * h, outputs * h);
  add(g.grad_head_bias.as<T>(), layout.head_bias, outputs, outputs);
  add(g.grad_kind_bias.as<T>(), layout.kind_bias, h, h);
}

void validate(const EditHead& a) {
  const std::int64_t d = a.edge.extent(1), h = a.weight.extent(0), outputs = a.out.extent(1);
  const DType dtype = a.edge.dtype;
  expect("edit_head", "edge", a.edge, {a.table.edge_count, d}, dtype);
  expect("edit_head", "weight", a.weight, {h, d}, dtype);
  if (a.edge2) {
    expect("edit_head", "edge2", a.edge2, {a.table.edge_count, a.edge2.extent(1)}, dtype);
    expect("edit_head", "weight2", a.weight2, {h, a.edge2.extent(1)}, dtype);
  }
  expect("edit_head", "projection", a.projection, {a.table.node_count, 2 * h}, dtype);
  expect("edit_head", "kind_bias", a.kind_bias, {kBlockKinds, h}, dtype);
  if (a.mix) expect("edit_head", "mix", a.mix, {h, h}, dtype);
  expect("edit_head", "head", a.head, {kBlockKinds, outputs, h}, dtype);
  expect("edit_head", "head_bias", a.head_bias, {kBlockKinds, outputs}, dtype);
  expect("edit_head", "out", a.out, {a.table.edge_count, outputs}, dtype);
}

}  // namespace

void edit_head_forward(const EditHead& args, Stream) {
  validate(args);
  dispatch_float("edit_head", args.edge.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void edit_head_backward(const EditHeadGradient& args, Stream) {
  const EditHead& a = args.forward;
  validate(a);
  expect("edit_head", "grad_out", args.grad_out, a.out.shape, a.edge.dtype);
  if (args.grad_edge) expect("edit_head", "grad_edge", args.grad_edge, a.edge.shape, a.edge.dtype);
  if (args.grad_edge2) expect("edit_head", "grad_edge2", args.grad_edge2, a.edge2.shape, a.edge.dtype);
  expect("edit_head", "grad_weight", args.grad_weight, a.weight.shape, a.edge.dtype);
  if (a.edge2) expect("edit_head", "grad_weight2", args.grad_weight2, a.weight2.shape, a.edge.dtype);
  expect("edit_head", "grad_projection", args.grad_projection, a.projection.shape, a.edge.dtype);
  expect("edit_head", "grad_kind_bias", args.grad_kind_bias, a.kind_bias.shape, a.edge.dtype);
  if (a.mix) expect("edit_head", "grad_mix", args.grad_mix, a.mix.shape, a.edge.dtype);
  expect("edit_head", "grad_head", args.grad_head, a.head.shape, a.edge.dtype);
  expect("edit_head", "grad_head_bias", args.grad_head_bias, a.head_bias.shape, a.edge.dtype);
  dispatch_float("edit_head", a.edge.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
