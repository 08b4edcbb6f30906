// z = C e + u_i + v_j; g = silu(gamma layer_norm(z) + beta); e' = e + alpha (G g); f_i = mean_j(g s_j); r_j = mean_i(g
// t_i). An edge state is read once and written once. Bytes an edge: 8 D forward, 12 D backward (read e, read and write
// gradients), node rows excluded. Operations an edge: 4 D^2 forward (two products), 10 D^2 backward: z recomputed, two
// for the states' gradients, two for the weights' (alpha's comes out of G's). With the F features of a first layer
// instead of states: 2 D^2 + 4 D F forward, 4 D^2 + 6 D F backward, as the states' gradient is not needed: with the
// sums M over z' f^T and N over grad_out f^T, f ending in the bias's 1, the gradients are M [W b]^T of C and N + C^T M
// of [W b]. The loops are in kernels/cpu/vector/edge_update.hpp: a thread takes whole target rows of a block. In tf32
// and bf16 operands are rounded as a tensor core takes them and multiplied exactly: what the CUDA twin is held against.
#include "kernels/cpu/edge_update.hpp"

#include <array>
#include <optional>

#include "kernels/cpu/edge_input.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/vector/vector.hpp"
#include "kernels/edge_arguments.hpp"

namespace amend::kernels::cpu {

namespace {

/// A (D, D) weight as an operand of the precision, in `slot` of the scratch memory where it is rounded.
template <class T>
const T* operand(const TensorView& weight, Precision precision, int slot) {
  const T* given = weight.as<T>();
  if (precision == Precision::float32) return given;
  T* rounded = scratch<T>(slot, weight.count());
  for (std::int64_t i = 0; i < weight.count(); ++i)
    rounded[i] = static_cast<T>(round_operand(precision, static_cast<float>(given[i])));
  return rounded;
}

/// C and G as operands.
template <class T>
struct Operands {
  std::int64_t d;
  const T *c, *g;

  explicit Operands(const EdgeUpdate& a)
      : d(a.weight_c.extent(0)),
        c(operand<T>(a.weight_c, a.precision, 13)),
        g(operand<T>(a.weight_g, a.precision, 14)) {}

  /// One of them, or its transpose, as the loops want it.
  Packed<T> packed(const T* weight, bool transposed, int slot) const { return {weight, d, d, transposed, slot}; }
};

/// C, every column without its mean over the channels: what is taken away the layer norm would take away.
template <class T>
T* centred_weight(const T* weight, std::int64_t d, int slot) {
  const T share = T(1) / static_cast<T>(d);
  T *centred = scratch<T>(slot, d * (d + 1)), *mean = centred + d * d;
  std::fill_n(mean, d, T(0));
  for (std::int64_t i = 0; i < d; ++i)
    for (std::int64_t j = 0; j < d; ++j) mean[j] += weight[i * d + j] * share;
  for (std::int64_t i = 0; i < d; ++i)
    for (std::int64_t j = 0; j < d; ++j) centred[i * d + j] = weight[i * d + j] - mean[j];
  return centred;
}

/// The embedding of a first layer as the loops want it.
template <class T>
struct Embedding {
  std::int64_t d, width;
  const T *weight, *bias;
  Packed<T> packed_weight;
  EdgeInputOf<T> input;
  T* product;  // (D, width): C W
  T* z_bias;   // (D): C b

  Embedding(const EdgeEmbed& a, const T* weight_c)
      : d(a.weight.extent(0)),
        width(a.input.width()),
        weight(a.weight.as<T>()),
        bias(a.bias.as<T>()),
        packed_weight(weight, d, width, true, 10),
        input(a.input),
        product(scratch<T>(11, d * (width + 1))),
        z_bias(product + d * width) {
    gemm(Trans::no, Trans::no, d, width, d, T(1), weight_c, d, weight, width, T(0), product, width);
    gemm(Trans::no, Trans::no, d, 1, d, T(1), weight_c, d, bias, 1, T(0), z_bias, 1);
  }

  EmbeddingRows<T> rows(const BlockTable& table, const BlockChunk& chunk) const {
    return {.input = input.rows(table, chunk), .packed_weight = packed_weight.get(), .bias = bias, .z_bias = z_bias};
  }
};

/// The projections as the loops want them, a plane (nodes, D) each: u and v without their means over the channels, s,
/// t. C^T or, with an embedding, (C W)^T packed, without the means either.
template <class T>
struct Prepared {
  std::optional<Embedding<T>> embed;
  Packed<T> packed_c;
  std::array<const T*, 4> plane;
};

template <class T>
Prepared<T> prepare(const EdgeUpdate& a, const Operands<T>& weights, const EdgeEmbed* embed) {
  using native_target::for_vectors, native_target::load, native_target::store, native_target::Vector;
  const std::int64_t d = a.weight_c.extent(0), nodes = a.table.node_count;
  const T share = T(1) / static_cast<T>(d);
  const T* projection = a.projection.as<T>();
  T* planes = scratch<T>(8, 4 * nodes * d);
  const std::int64_t each = shared_rows(nodes, 512, 16 * d);
  parallel_for((nodes + each - 1) / each, [&](std::int64_t tile) {
    const std::int64_t end = std::min(nodes, (tile + 1) * each);
    for (std::int64_t n = tile * each; n < end; ++n)
      for (int p = 0; p < 4; ++p) {
        const T* from = projection + (n * 4 + p) * d;
        T* to = planes + (p * nodes + n) * d;
        Vector<T> sums{};
        if (p < 2) for_vectors<T, 0>(d, [&](std::int64_t i, auto lanes) { sums += load(from + i, lanes); });
        const Vector<T> mean = native_target::broadcast(native_target::lane_sum<T>(sums) * share);
        for_vectors<T, 0>(d, [&](std::int64_t i, auto lanes) { store(to + i, load(from + i, lanes) - mean, lanes); });
      }
  });
  const T* centred = centred_weight(weights.c, d, 9);
  const std::array<const T*, 4> plane{planes, planes + nodes * d, planes + 2 * nodes * d, planes + 3 * nodes * d};
  if (embed == nullptr) return {{}, {centred, d, d, true, 1}, plane};
  const Embedding<T> own(*embed, centred);
  return {own, {own.product, d, own.width, true, 1}, plane};
}

/// The inputs of the rows of `chunk`.
template <class T>
EdgeUpdateRows<T> rows_of(const EdgeUpdate& a, const BlockChunk& chunk, const Prepared<T>& prepared) {
  const Block& block = a.table.block[chunk.block];
  const std::int64_t d = a.weight_c.extent(0);
  const std::int64_t target = (block.target_offset + chunk.first_row) * d, source = block.source_offset * d;
  const T* gamma = a.modulation.as<T>() + block.network * 3 * d;
  const std::int64_t first = first_edge(a.table, chunk) * d;
  const bool narrow = !prepared.embed && a.edge.dtype == DType::bfloat16;
  return {.d = d,
          .rows = chunk.row_count,
          .cols = block.cols,
          .precision = a.precision,
          .edge = prepared.embed || narrow ? nullptr : a.edge.as<T>() + first,
          .narrow_edge = narrow ? a.edge.as<BFloat16>() + first : nullptr,
          .embed = prepared.embed ? prepared.embed->rows(a.table, chunk) : EmbeddingRows<T>{},
          .u = prepared.plane[0] + target,
          .t = prepared.plane[3] + target,
          .v = prepared.plane[1] + source,
          .s = prepared.plane[2] + source,
          .gamma = gamma,
          .beta = gamma + d,
          .alpha = gamma + 2 * d,
          .packed_c = prepared.packed_c.get(),
          .packed_g = nullptr,
          .edge_out = nullptr,
          .narrow_out = nullptr,
          .row_sum = nullptr,
          .column_sum = nullptr,
          .scratch = scratch<T>(
              3, vector_functions().of<T>().edge_update_scratch(d, prepared.embed ? prepared.embed->width : 0))};
}

/// `embed` forms the states, or is null.
template <class T>
void forward(const EdgeUpdate& a, const EdgeEmbed* embed) {
  const std::int64_t d = a.weight_c.extent(0);
  const ChunkList& list = block_chunks(a.table);
  const Operands<T> weights(a);
  const Prepared<T> prepared = prepare<T>(a, weights, embed);
  const Packed<T> packed_g = weights.packed(weights.g, true, 2);
  T* aggregate = a.aggregate.as<T>();
  T* columns = scratch<T>(0, list.columns * d);
  std::fill_n(aggregate, a.aggregate.count(), T(0));
  parallel_for(static_cast<std::int64_t>(list.chunk.size()), [&](std::int64_t c) {
    const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
    const Block& block = a.table.block[chunk.block];
    EdgeUpdateRows<T> rows = rows_of(a, chunk, prepared);
    rows.packed_g = packed_g.get();
    if (rows.narrow_edge)
      rows.narrow_out = a.edge_out.as<BFloat16>() + first_edge(a.table, chunk) * d;
    else
      rows.edge_out = a.edge_out.as<T>() + first_edge(a.table, chunk) * d;
    rows.row_sum = aggregate + (block.target_offset + chunk.first_row) * 2 * d;
    rows.column_sum = columns + chunk.column_offset * d;
    std::fill_n(rows.column_sum, block.cols * d, T(0));
    vector_functions().of<T>().edge_update_forward(rows);
    for (std::int64_t row = 0; row < rows.rows; ++row)
      for (std::int64_t i = 0; i < d; ++i) rows.row_sum[row * 2 * d + i] /= static_cast<T>(block.cols);
  });
  add_chunk_columns(a.table, list, columns, d, aggregate, 2 * d, d,
                    [](const Block& block) { return T(1) / static_cast<T>(block.rows); });
}

/// The gradients of a first layer's three matrices: sums are M (width + 1, D), then N.
template <class T>
void add_embedded(const EdgeEmbedGradient& g, const EdgeUpdateGradient& update, const T* sums) {
  const EdgeEmbed& a = g.forward;
  const std::int64_t d = a.weight.extent(0), width = a.input.width();
  const T *weight = a.weight.as<T>(), *bias = a.bias.as<T>(), *weight_c = update.forward.weight_c.as<T>();
  const T* bias_sums = sums + width * d;
  T *grad_weight = g.grad_weight.as<T>(), *grad_bias = g.grad_bias.as<T>(), *grad_c = update.grad_weight_c.as<T>();
  gemm(Trans::yes, Trans::yes, d, d, width, T(1), sums, d, weight, width, T(1), grad_c, d);
  for (std::int64_t i = 0; i < d; ++i)
    for (std::int64_t j = 0; j < d; ++j) grad_c[i * d + j] += bias_sums[i] * bias[j];
  T* of_states = scratch<T>(12, (width + 1) * d);  // N + C^T M, transposed
  std::copy_n(sums + (width + 1) * d, (width + 1) * d, of_states);
  gemm(Trans::no, Trans::no, width + 1, d, d, T(1), sums, d, weight_c, d, T(1), of_states, d);
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t f = 0; f < width; ++f) grad_weight[i * width + f] += of_states[f * d + i];
    grad_bias[i] += of_states[width * d + i];
  }
}

template <class T>
void backward(const EdgeUpdateGradient& g, const EdgeEmbedGradient* embed) {
  const EdgeUpdate& a = g.forward;
  const std::int64_t d = a.weight_c.extent(0), dd = d * d, columns_f = embed ? embed->forward.input.width() + 1 : 0,
                     of_c = embed ? 2 * columns_f * d : dd, total = of_c + dd;
  const ChunkList& list = block_chunks(a.table);
  const PartList parts(list);
  const Operands<T> operands(a);
  const Prepared<T> prepared = prepare<T>(a, operands, embed ? &embed->forward : nullptr);
  const Packed<T> packed_c = operands.packed(operands.c, false, 2), packed_g = operands.packed(operands.g, false, 4);
  const T* weight_g = a.weight_g.as<T>();
  const T *grad_out = elements<T>(g.grad_edge_out), *grad_aggregate = elements<T>(g.grad_aggregate);
  T *grad_edge = elements<T>(g.grad_edge), *grad_projection = g.grad_projection.as<T>();
  T* columns = scratch<T>(0, list.columns * 2 * d);  // gradients of v and s
  T* weights = scratch<T>(5, parts.count * total);   // of C or the features, and of G
  T* modulations = scratch<T>(6, parts.chunks * 3 * d);
  parallel_for(parts.count, [&](std::int64_t part) {
    T* part_weights = weights + part * total;
    T* own_g = scratch<T>(7, dd);  // of one chunk: networks differ in alpha
    std::fill_n(part_weights, total, T(0));
    for (std::int64_t c = parts.first(part); c < parts.first(part + 1); ++c) {
      const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
      const Block& block = a.table.block[chunk.block];
      const std::int64_t first = first_edge(a.table, chunk) * d, first_target = block.target_offset + chunk.first_row;
      T* column = columns + chunk.column_offset * 2 * d;
      std::fill_n(column, block.cols * 2 * d, T(0));
      std::fill_n(own_g, dd, T(0));
      std::fill_n(modulations + c * 3 * d, 3 * d, T(0));
      EdgeUpdateRows<T> rows = rows_of(a, chunk, prepared);
      if (a.precision != Precision::float32) {  // the gradient of alpha is a sum divided by it
        T* alpha = scratch<T>(11, d);
        for (std::int64_t i = 0; i < d; ++i) alpha[i] = divisible_step(rows.alpha[i]);
        rows.alpha = alpha;
      }
      vector_functions().of<T>().edge_update_backward(
          {.forward = rows,
           .packed_c = grad_edge ? packed_c.get() : nullptr,
           .packed_g = packed_g.get(),
           .weight_g = weight_g,
           .grad_out = grad_out ? grad_out + first : nullptr,
           .grad_row_sum = grad_aggregate ? grad_aggregate + first_target * 2 * d : nullptr,
           .grad_column_sum = grad_aggregate ? grad_aggregate + block.source_offset * 2 * d + d : nullptr,
           .per_row = T(1) / static_cast<T>(block.cols),
           .per_column = T(1) / static_cast<T>(block.rows),
           .grad_edge = grad_edge ? grad_edge + first : nullptr,
           .grad_target = grad_projection + first_target * 4 * d,
           .grad_column = column,
           .grad_c = part_weights,
           .grad_g = own_g,
           .grad_embed = part_weights + columns_f * d,
           .grad_modulation = modulations + c * 3 * d});
      for (std::int64_t i = 0; i < dd; ++i) part_weights[of_c + i] += own_g[i];
    }
  });
  const auto one = [](const Block&) { return T(1); };
  // The partials hold v and s side by side, and so does a node's projection: one pass adds both.
  add_chunk_columns(a.table, list, columns, 2 * d, grad_projection, 4 * d, d, one);
  // The first part's sums become those of all.
  T *sums = weights, *grad_c = g.grad_weight_c.as<T>(), *grad_g = g.grad_weight_g.as<T>();
  for (std::int64_t part = 1; part < parts.count; ++part)
    for (std::int64_t i = 0; i < total; ++i) sums[i] += weights[part * total + i];
  if (parts.count > 0) {
    if (embed != nullptr)
      add_embedded(*embed, g, sums);
    else
      for (std::int64_t i = 0; i < dd; ++i) grad_c[i] += sums[i];
    for (std::int64_t i = 0; i < dd; ++i) grad_g[i] += sums[of_c + i];
  }
  T* grad_modulation = g.grad_modulation.as<T>();
  for (std::int64_t c = 0; c < parts.chunks; ++c) {
    T* out = grad_modulation + a.table.block[list.chunk[static_cast<std::size_t>(c)].block].network * 3 * d;
    for (std::int64_t i = 0; i < 3 * d; ++i) out[i] += modulations[c * 3 * d + i];
  }
}

}  // namespace

void edge_update_forward(const EdgeUpdate& args, Stream) {
  validate(args);
  if (args.edge.dtype == DType::bfloat16) return forward<float>(args, nullptr);
  dispatch_float("edge_update", args.edge.dtype, [&](auto zero) { forward<decltype(zero)>(args, nullptr); });
}

void edge_update_backward(const EdgeUpdateGradient& args, Stream) {
  validate(args);
  dispatch_float("edge_update", args.forward.edge.dtype, [&](auto zero) { backward<decltype(zero)>(args, nullptr); });
}

void edge_update_forward(const EdgeUpdate& args, const EdgeEmbed& embed) {
  dispatch_float("edge_update", args.edge_out.dtype, [&](auto zero) { forward<decltype(zero)>(args, &embed); });
}

void edge_update_backward(const EdgeUpdateGradient& args, const EdgeEmbedGradient& embed) {
  dispatch_float("edge_update", args.forward.edge_out.dtype,
                 [&](auto zero) { backward<decltype(zero)>(args, &embed); });
}

}  // namespace amend::kernels::cpu
