// The message layer with the operands of its products rounded as a tensor core does and multiplied exactly: the
// reference of the CUDA twin's tf32 and bf16. Plain: a tile of edges a product, every step for the whole tile.
#include "kernels/cpu/edge_update_rounded.hpp"

#include <cmath>
#include <type_traits>

#include "kernels/cpu/block_chunk.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/edge_arguments.hpp"
#include "kernels/math.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr double kLayerNormEpsilon = 1e-5;

/// x, or in `slot` of the scratch memory its elements rounded to the precision.
template <class T>
const T* operand(Precision precision, const T* x, std::int64_t count, int slot) {
  if (precision == Precision::float32) return x;
  T* rounded = scratch<T>(slot, count);
  for (std::int64_t i = 0; i < count; ++i)
    rounded[i] = static_cast<T>(round_operand(precision, static_cast<float>(x[i])));
  return rounded;
}

// Scratch slots of rounded operands, and of states that are stored as bf16.
constexpr int kRoundedC = 10, kRoundedG = 11, kRoundedA = 12, kRoundedB = 13, kEdges = 14;

/// S: the type the states are stored in.
template <class T, class S = T>
struct Layer {
  std::int64_t d;
  Precision precision;
  const S* edge;
  const T *projection, *weight_c, *weight_g, *modulation;

  explicit Layer(const EdgeUpdate& a)
      : d(a.edge.extent(1)),
        precision(a.precision),
        edge(a.edge.as<S>()),
        projection(a.projection.as<T>()),
        weight_c(operand(precision, a.weight_c.as<T>(), d * d, kRoundedC)),
        weight_g(operand(precision, a.weight_g.as<T>(), d * d, kRoundedG)),
        modulation(a.modulation.as<T>()) {}

  /// The states of `count` edges from edge `first` of the batch on.
  const T* edges(std::int64_t first, std::int64_t count) const {
    if constexpr (std::is_same_v<S, T>) {
      return edge + first * d;
    } else {
      T* states = scratch<T>(kEdges, count * d);
      for (std::int64_t i = 0; i < count * d; ++i) states[i] = static_cast<T>(edge[first * d + i]);
      return states;
    }
  }

  /// normal, inverse deviation and gate of `count` edges with the states e of `block` from its edge `begin` on.
  void gate(const Block& block, std::int64_t begin, std::int64_t count, const T* e, T* normal, T* inverse,
            T* activation) const {
    const T* gamma = modulation + block.network * 3 * d;
    const T* beta = gamma + d;
    gemm(Trans::no, Trans::yes, count, d, d, T(1), operand(precision, e, count * d, kRoundedA), d, weight_c, d, T(0),
         normal, d);
    for_row_pieces(begin, begin + count, block.cols,
                   [&](std::int64_t row, std::int64_t col, std::int64_t at, std::int64_t n) {
                     const T* u = projection + (block.target_offset + row) * 4 * d;
                     for (std::int64_t k = 0; k < n; ++k) {
                       const T* v = projection + (block.source_offset + col + k) * 4 * d + d;
                       T* z = normal + (at + k) * d;
                       T sum = 0, squares = 0;
                       for (std::int64_t i = 0; i < d; ++i) {
                         z[i] += u[i] + v[i];
                         sum += z[i];
                       }
                       const T mean = sum / static_cast<T>(d);
                       for (std::int64_t i = 0; i < d; ++i) {
                         z[i] -= mean;
                         squares += z[i] * z[i];
                       }
                       const T inv = T(1) / std::sqrt(squares / static_cast<T>(d) + static_cast<T>(kLayerNormEpsilon));
                       inverse[at + k] = inv;
                       T* g = activation + (at + k) * d;
                       for (std::int64_t i = 0; i < d; ++i) {
                         z[i] *= inv;
                         g[i] = silu(gamma[i] * z[i] + beta[i]);
                       }
                     }
                   });
  }
};

template <class T, class S>
void forward(const EdgeUpdate& a) {
  const Layer<T, S> layer(a);
  const std::int64_t d = layer.d;
  const ChunkList& list = block_chunks(a.table);
  S* edge_out = a.edge_out.as<S>();
  T* aggregate = a.aggregate.as<T>();
  T* columns = scratch<T>(0, list.columns * d);
  std::fill_n(aggregate, a.aggregate.count(), T(0));
  parallel_for(static_cast<std::int64_t>(list.chunk.size()), [&](std::int64_t c) {
    const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
    const Block& block = a.table.block[chunk.block];
    T* normal = scratch<T>(2, kTileEdges * d);
    T* inverse = scratch<T>(3, kTileEdges);
    T* g = scratch<T>(4, kTileEdges * d);
    T* product = scratch<T>(5, kTileEdges * d);
    T* column = columns + chunk.column_offset * d;
    std::fill_n(column, block.cols * d, T(0));
    const T* alpha = layer.modulation + block.network * 3 * d + 2 * d;
    const std::int64_t end = std::int64_t{chunk.first_row + chunk.row_count} * block.cols;
    for (std::int64_t begin = std::int64_t{chunk.first_row} * block.cols; begin < end; begin += kTileEdges) {
      const std::int64_t count = std::min(kTileEdges, end - begin);
      const T* e = layer.edges(block.edge_offset + begin, count);
      layer.gate(block, begin, count, e, normal, inverse, g);
      gemm(Trans::no, Trans::yes, count, d, d, T(1), operand(layer.precision, g, count * d, kRoundedA), d,
           layer.weight_g, d, T(0), product, d);
      S* out = edge_out + (block.edge_offset + begin) * d;
      for (std::int64_t k = 0; k < count; ++k)
        for (std::int64_t i = 0; i < d; ++i)
          out[k * d + i] = static_cast<S>(e[k * d + i] + alpha[i] * product[k * d + i]);
      for_row_pieces(begin, begin + count, block.cols,
                     [&](std::int64_t row, std::int64_t col, std::int64_t at, std::int64_t n) {
                       const T* t = layer.projection + (block.target_offset + row) * 4 * d + 3 * d;
                       T* f = aggregate + (block.target_offset + row) * 2 * d;
                       for (std::int64_t k = 0; k < n; ++k) {
                         const T* s = layer.projection + (block.source_offset + col + k) * 4 * d + 2 * d;
                         T* r = column + (col + k) * d;
                         for (std::int64_t i = 0; i < d; ++i) {
                           f[i] += g[(at + k) * d + i] * s[i];
                           r[i] += g[(at + k) * d + i] * t[i];
                         }
                       }
                     });
    }
    for (std::int64_t row = chunk.first_row; row < chunk.first_row + chunk.row_count; ++row)
      for (std::int64_t i = 0; i < d; ++i)
        aggregate[(block.target_offset + row) * 2 * d + i] /= static_cast<T>(block.cols);
  });
  add_chunk_columns(a.table, list, columns, d, aggregate, 2 * d, d,
                    [](const Block& block) { return T(1) / static_cast<T>(block.rows); });
}

template <class T>
void backward(const EdgeUpdateGradient& g) {
  const EdgeUpdate& a = g.forward;
  const Layer<T> layer(a);
  const std::int64_t d = layer.d, dd = d * d;
  const ChunkList& list = block_chunks(a.table);
  const auto chunks = static_cast<std::int64_t>(list.chunk.size());
  const T* grad_out = g.grad_edge_out ? g.grad_edge_out.as<T>() : nullptr;
  const T* grad_aggregate = g.grad_aggregate ? g.grad_aggregate.as<T>() : nullptr;
  T* grad_edge = g.grad_edge ? g.grad_edge.as<T>() : nullptr;
  const T* weight_g = a.weight_g.as<T>();
  T* grad_projection = g.grad_projection.as<T>();
  T* columns = scratch<T>(0, list.columns * 2 * d);  // gradients of v and s
  T* weights = scratch<T>(1, chunks * 2 * dd);       // of C and G
  T* modulations = scratch<T>(6, chunks * 3 * d);
  parallel_for(chunks, [&](std::int64_t c) {
    const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
    const Block& block = a.table.block[chunk.block];
    T* normal = scratch<T>(2, kTileEdges * d);
    T* inverse = scratch<T>(3, kTileEdges);
    T* gate = scratch<T>(4, kTileEdges * d);
    T* scaled = scratch<T>(7, kTileEdges * d);
    T* grad_gate = scratch<T>(8, kTileEdges * d);
    T* zeros = scratch<T>(9, d);
    std::fill_n(zeros, d, T(0));
    T* column = columns + chunk.column_offset * 2 * d;
    std::fill_n(column, block.cols * 2 * d, T(0));
    T* partial_c = weights + c * 2 * dd;
    T* partial_g = partial_c + dd;
    std::fill_n(partial_c, 2 * dd, T(0));
    T* grad_gamma = modulations + c * 3 * d;
    T* grad_beta = grad_gamma + d;
    T* grad_alpha = grad_gamma + 2 * d;
    std::fill_n(grad_gamma, 3 * d, T(0));
    const T* gamma = layer.modulation + block.network * 3 * d;
    const T* beta = gamma + d;
    const T* alpha = gamma + 2 * d;
    const T per_row = T(1) / static_cast<T>(block.cols), per_col = T(1) / static_cast<T>(block.rows);
    const std::int64_t end = std::int64_t{chunk.first_row + chunk.row_count} * block.cols;
    for (std::int64_t begin = std::int64_t{chunk.first_row} * block.cols; begin < end; begin += kTileEdges) {
      const std::int64_t count = std::min(kTileEdges, end - begin);
      const std::int64_t first = block.edge_offset + begin;
      layer.gate(block, begin, count, layer.edge + first * d, normal, inverse, gate);
      if (grad_out) {
        const T* out = grad_out + first * d;
        for (std::int64_t k = 0; k < count; ++k)
          for (std::int64_t i = 0; i < d; ++i) scaled[k * d + i] = divisible_step(alpha[i]) * out[k * d + i];
        const T* scaled_operand = operand(layer.precision, scaled, count * d, kRoundedB);
        gemm(Trans::yes, Trans::no, d, d, count, T(1), scaled_operand, d,
             operand(layer.precision, gate, count * d, kRoundedA), d, T(1), partial_g, d);
        gemm(Trans::no, Trans::no, count, d, d, T(1), scaled_operand, d, layer.weight_g, d, T(0), grad_gate, d);
      } else {
        std::fill_n(grad_gate, count * d, T(0));
      }
      for_row_pieces(begin, begin + count, block.cols,
                     [&](std::int64_t row, std::int64_t col, std::int64_t at, std::int64_t n) {
                       const std::int64_t target = block.target_offset + row;
                       const T* t = layer.projection + target * 4 * d + 3 * d;
                       const T* grad_f = grad_aggregate ? grad_aggregate + target * 2 * d : zeros;
                       T* grad_u = grad_projection + target * 4 * d;
                       T* grad_t = grad_u + 3 * d;
                       for (std::int64_t k = 0; k < n; ++k) {
                         const std::int64_t source = block.source_offset + col + k;
                         const T* s = layer.projection + source * 4 * d + 2 * d;
                         const T* grad_r = grad_aggregate ? grad_aggregate + source * 2 * d + d : zeros;
                         const T* gk = gate + (at + k) * d;
                         T* x = normal + (at + k) * d;
                         T* gz = grad_gate + (at + k) * d;
                         T* grad_v = column + (col + k) * 2 * d;
                         T* grad_s = grad_v + d;
                         T sum = 0, dot = 0;
                         for (std::int64_t i = 0; i < d; ++i) {
                           grad_s[i] += per_row * grad_f[i] * gk[i];
                           grad_t[i] += per_col * grad_r[i] * gk[i];
                           const T grad = gz[i] + per_row * grad_f[i] * s[i] + per_col * grad_r[i] * t[i];
                           const T pre = grad * silu_slope(gamma[i] * x[i] + beta[i]);
                           grad_gamma[i] += pre * x[i];
                           grad_beta[i] += pre;
                           gz[i] = pre * gamma[i];
                           sum += gz[i];
                           dot += gz[i] * x[i];
                         }
                         const T mean = sum / static_cast<T>(d), slope = dot / static_cast<T>(d);
                         for (std::int64_t i = 0; i < d; ++i) {
                           gz[i] = (gz[i] - mean - x[i] * slope) * inverse[at + k];
                           grad_u[i] += gz[i];
                           grad_v[i] += gz[i];
                         }
                       }
                     });
      const T* grad_operand = operand(layer.precision, grad_gate, count * d, kRoundedB);
      gemm(Trans::yes, Trans::no, d, d, count, T(1), grad_operand, d,
           operand(layer.precision, layer.edge + first * d, count * d, kRoundedA), d, T(1), partial_c, d);
      if (grad_edge) {
        T* ge = grad_edge + first * d;
        if (grad_out && grad_out != grad_edge)
          for (std::int64_t k = 0; k < count * d; ++k) ge[k] += grad_out[first * d + k];
        gemm(Trans::no, Trans::no, count, d, d, T(1), grad_operand, d, layer.weight_c, d, T(1), ge, d);
      }
    }
    // As grad_alpha_i = sum_k out_ki (G g_k)_i = sum_j G_ij P_ij / alpha_i, the product G g is not needed again.
    for (std::int64_t i = 0; i < d; ++i) {
      for (std::int64_t j = 0; j < d; ++j) grad_alpha[i] += weight_g[i * d + j] * partial_g[i * d + j];
      grad_alpha[i] /= divisible_step(alpha[i]);
    }
  });
  const auto one = [](const Block&) { return T(1); };
  // The partials hold v and s side by side, and so does a node's projection: one pass adds both.
  add_chunk_columns(a.table, list, columns, 2 * d, grad_projection, 4 * d, d, one);
  T* grad_c = g.grad_weight_c.as<T>();
  T* grad_g = g.grad_weight_g.as<T>();
  parallel_for(d, [&](std::int64_t row) {
    for (std::int64_t c = 0; c < chunks; ++c)
      for (std::int64_t i = row * d; i < (row + 1) * d; ++i) {
        grad_c[i] += weights[c * 2 * dd + i];
        grad_g[i] += weights[c * 2 * dd + dd + i];
      }
  });
  T* grad_modulation = g.grad_modulation.as<T>();
  for (std::int64_t c = 0; c < chunks; ++c) {
    T* out = grad_modulation + a.table.block[list.chunk[static_cast<std::size_t>(c)].block].network * 3 * d;
    for (std::int64_t i = 0; i < 3 * d; ++i) out[i] += modulations[c * 3 * d + i];
  }
}

}  // namespace

void edge_update_rounded_forward(const EdgeUpdate& args) {
  args.edge.dtype == DType::bfloat16 ? forward<float, BFloat16>(args) : forward<float, float>(args);
}

void edge_update_rounded_backward(const EdgeUpdateGradient& args) { backward<float>(args); }

}  // namespace amend::kernels::cpu
