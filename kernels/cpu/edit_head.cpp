// h = relu(W e + W2 e2 + u_i + v_j + kind_bias); [h = relu(mix h);] out = head h + head_bias.
// Bytes an edge: 4 (D + D2 + outputs) forward, the same and the gradients backward; hidden layers stay in a tile, and
// so do features: for D = 15 of the first pass 2 numbers are read, 3 with a gradient, and 7 for D2 = 9 of a refinement.
// Operations an edge: 2 H (D + D2 + H + outputs) forward, three times that backward.
#include "kernels/edit_head.hpp"

#include "kernels/cpu/edge_input.hpp"
#include "kernels/cpu/vector/pack.hpp"
#include "kernels/edit_head_arguments.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
struct Head {
  std::int64_t d, d2, h, outputs;
  EdgeInputOf<T> edge, edge2;
  const T *weight, *weight2, *projection, *kind_bias, *mix, *head, *head_bias;
  Packed<T> packed_weight, packed_weight2, packed_mix;  // transposed

  explicit Head(const EditHead& a)
      : d(a.edge.width()),
        d2(a.edge2.width()),
        h(a.weight.extent(0)),
        outputs(a.out.extent(1)),
        edge(a.edge),
        edge2(a.edge2),
        weight(a.weight.as<T>()),
        weight2(a.edge2 ? a.weight2.as<T>() : nullptr),
        projection(a.projection.as<T>()),
        kind_bias(a.kind_bias.as<T>()),
        mix(elements<T>(a.mix)),
        head(a.head.as<T>()),
        head_bias(a.head_bias.as<T>()),
        packed_weight(weight, h, d, true, 4),
        packed_weight2(weight2, h, d2, true, 5),
        packed_mix(mix, h, h, true, 6) {}

  EditHeadRows<T> rows(const BlockTable& table, const BlockChunk& chunk) const {
    const Block& block = table.block[chunk.block];
    const auto kind = static_cast<std::int64_t>(block.kind);
    const Functions<T>& functions = vector_functions().of<T>();
    return {.d = d,
            .d2 = d2,
            .h = h,
            .outputs = outputs,
            .rows = chunk.row_count,
            .cols = block.cols,
            .edge = edge.rows(table, chunk),
            .edge2 = edge2.rows(table, chunk),
            .target = projection + (block.target_offset + chunk.first_row) * 2 * h,
            .source = projection + block.source_offset * 2 * h,
            .bias = kind_bias + kind * h,
            .packed_weight = packed_weight.get(),
            .packed_weight2 = d2 > 0 ? packed_weight2.get() : nullptr,
            .packed_mix = mix ? packed_mix.get() : nullptr,
            .head = head + kind * outputs * h,
            .head_bias = head_bias + kind * outputs,
            .out = nullptr,
            .scratch = scratch<T>(2, functions.edit_head_scratch(h, d, d2))};
  }
};

template <class T>
void forward(const EditHead& a) {
  const Head<T> net(a);
  const ChunkList& list = block_chunks(a.table);
  T* out = a.out.as<T>();
  parallel_for(static_cast<std::int64_t>(list.chunk.size()), [&](std::int64_t c) {
    const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
    EditHeadRows<T> rows = net.rows(a.table, chunk);
    rows.out = out + first_edge(a.table, chunk) * net.outputs;
    vector_functions().of<T>().edit_head_forward(rows);
  });
}

/// Where the weight gradients of one part lie among its sums: those of the heads once for every kind of block.
struct Layout {
  std::int64_t weight, weight2, mix, head, head_bias, kind_bias, total;

  template <class T>
  explicit Layout(const Head<T>& net) {
    weight = 0;
    weight2 = weight + net.h * net.d;
    mix = weight2 + net.h * net.d2;
    head = mix + (net.mix ? net.h * net.h : 0);
    head_bias = head + kBlockKinds * net.outputs * net.h;
    kind_bias = head_bias + kBlockKinds * net.outputs;
    total = kind_bias + kBlockKinds * net.h;
  }
};

template <class T>
void backward(const EditHeadGradient& g) {
  const EditHead& a = g.forward;
  const Head<T> net(a);
  const Layout layout(net);
  const std::int64_t h = net.h, outputs = net.outputs;
  const ChunkList& list = block_chunks(a.table);
  const PartList parts(list);
  const T* grad_out = g.grad_out.as<T>();
  T *grad_edge = elements<T>(g.grad_edge), *grad_edge2 = elements<T>(g.grad_edge2);
  T* grad_projection = g.grad_projection.as<T>();
  T* columns = scratch<T>(0, list.columns * h);
  T* partials = scratch<T>(1, parts.count * layout.total);
  const Packed<T> packed_weight(net.weight, h, net.d, false, 10), packed_weight2(net.weight2, h, net.d2, false, 11),
      packed_mix(net.mix, h, h, false, 12);
  // All kinds side by side in one slot.
  const std::int64_t head_size = outputs * vector_functions().of<T>().packed_width(h);
  T* packed_heads = scratch<T>(13, kBlockKinds * head_size);
  for (std::int64_t kind = 0; kind < kBlockKinds; ++kind)
    vector_functions().of<T>().pack({.rows = outputs,
                                     .columns = h,
                                     .data = net.head + kind * outputs * h,
                                     .row = h,
                                     .column = 1,
                                     .packed = packed_heads + kind * head_size});
  parallel_for(parts.count, [&](std::int64_t part) {
    T* sums = partials + part * layout.total;
    std::fill_n(sums, layout.total, T(0));
    for (std::int64_t c = parts.first(part); c < parts.first(part + 1); ++c) {
      const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
      const Block& block = a.table.block[chunk.block];
      const auto kind = static_cast<std::int64_t>(block.kind);
      const EditHeadRows<T> rows = net.rows(a.table, chunk);
      const std::int64_t first = first_edge(a.table, chunk);
      T* column = columns + chunk.column_offset * h;
      std::fill_n(column, block.cols * h, T(0));
      vector_functions().of<T>().edit_head_backward(
          {.forward = rows,
           .packed_weight = grad_edge ? packed_weight.get() : nullptr,
           .packed_weight2 = grad_edge2 ? packed_weight2.get() : nullptr,
           .packed_mix = net.mix ? packed_mix.get() : nullptr,
           .packed_head = packed_heads + kind * head_size,
           .grad_out = grad_out + first * outputs,
           .grad_edge = grad_edge ? grad_edge + first * net.d : nullptr,
           .grad_edge2 = grad_edge2 ? grad_edge2 + first * net.d2 : nullptr,
           .fresh_edge = g.fresh_edge,
           .grad_target = grad_projection + (block.target_offset + chunk.first_row) * 2 * h,
           .grad_column = column,
           .grad_weight = sums + layout.weight,
           .grad_weight2 = sums + layout.weight2,
           .grad_mix = sums + layout.mix,
           .grad_head = sums + layout.head + kind * outputs * h,
           .grad_head_bias = sums + layout.head_bias + kind * outputs,
           .grad_bias = sums + layout.kind_bias + kind * h});
    }
  });
  add_chunk_columns(a.table, list, columns, h, grad_projection, 2 * h, h, [](const Block&) { return T(1); });

  const auto add = [&](T* target, std::int64_t offset, std::int64_t count) {
    for (std::int64_t part = 0; part < parts.count; ++part)
      for (std::int64_t i = 0; i < count; ++i) target[i] += partials[part * layout.total + offset + i];
  };
  const auto add_transposed = [&](T* target, std::int64_t offset, std::int64_t d) {
    for (std::int64_t part = 0; part < parts.count; ++part)
      for (std::int64_t i = 0; i < h; ++i)
        for (std::int64_t j = 0; j < d; ++j) target[i * d + j] += partials[part * layout.total + offset + j * h + i];
  };
  add_transposed(g.grad_weight.as<T>(), layout.weight, net.d);
  if (net.d2 > 0) add_transposed(g.grad_weight2.as<T>(), layout.weight2, net.d2);
  if (net.mix) add(g.grad_mix.as<T>(), layout.mix, h * h);
  add(g.grad_head.as<T>(), layout.head, kBlockKinds * outputs * h);
  add(g.grad_head_bias.as<T>(), layout.head_bias, kBlockKinds * outputs);
  add(g.grad_kind_bias.as<T>(), layout.kind_bias, kBlockKinds * h);
}

}  // namespace

void edit_head_forward(const EditHead& args, Stream) {
  validate(args);
  dispatch_float("edit_head", args.edge.dtype(), [&](auto zero) { forward<decltype(zero)>(args); });
}

void edit_head_backward(const EditHeadGradient& args, Stream) {
  validate(args);
  dispatch_float("edit_head", args.forward.edge.dtype(), [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
