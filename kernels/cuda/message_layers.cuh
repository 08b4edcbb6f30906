#pragma once

// All layers of a network by one thread block, which keeps the states of its edges in shared memory (by a cluster of
// blocks: message_clusters.cuh). Sums are formed in the order of the layers' own kernels: a network's bits are the same
// whether it runs here or layer by layer, as it must when a larger one joins its batch.

#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/edge_embed.cuh"
#include "kernels/cuda/edge_forward.cuh"
#include "kernels/message_layers.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// A layer on the device; products of nodes read their weights transposed, (in, out).
template <class T, int D, Precision P>
struct ChipLayer {
  const typename EdgeProduct<T, D, P>::Stored* matrices;
  const T *modulation, *projection_weight, *projection_bias, *weight1, *bias1, *weight2, *bias2, *alpha;
};

template <class S, class T, int D, Precision P>
struct ChipLayers {
  BlockTable table;
  ChipLayer<T, D, P> layer[kMaxMessageLayers];
  std::int32_t layers;
  std::int32_t h, p, f;
  Embedding<T> embed;  // without weights: states are read from `edge`
  const S* edge;
  const T *node, *condition;
  S* edge_out;
  T *node_out, *projection, *aggregate;

  __device__ std::int32_t inputs() const { return h + 2 * D + p; }
};

/// Nodes that a thread block does at a time, and those of them whose sums a thread forms at a time.
inline constexpr int kChipNodes = 16, kChipEach = 8;

/// Edges whose features a warp forms at a time.
template <int D>
inline constexpr int kChipFeatures = D == 16 ? kWarp / 2 : kWarp;

/// Bytes of shared memory behind the edge states: what an item needs, or the rows of kChipNodes nodes; less is enough
/// to form states.
template <class T, int D, Precision P>
std::size_t chip_work_bytes(std::int64_t inputs, std::int64_t hidden) {
  constexpr std::size_t kFeatures =
      sizeof(T) * (4 * quads_of(kEdgeFeatures) * D + kEdgeWarps * kChipFeatures<D> * row_stride(kEdgeFeatures));
  static_assert(kFeatures <= kForwardBytes<T, D, P>);
  const std::size_t edges = kForwardBytes<T, D, P>,
                    nodes = sizeof(T) * kChipNodes * static_cast<std::size_t>(inputs + hidden);
  return edges > nodes ? edges : nodes;
}

/// write(row, o, bias[o] + sum_i x[row, i] weight[i, o]) for the kChipNodes rows of x, in shared memory.
template <class T, class Write>
__device__ __forceinline__ void chip_product(const T* x, std::int32_t in, const T* weight, const T* bias,
                                             std::int32_t out, const Write& write) {
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < out * (kChipNodes / kChipEach); i += kThreads) {
    const std::int32_t o = i % out, first = i / out * kChipEach;
    T sum[kChipEach];
#pragma unroll
    for (int row = 0; row < kChipEach; ++row) sum[row] = T(0);
    for (std::int32_t k = 0; k < in; ++k) {
      const T w = weight[std::int64_t{k} * out + o];
#pragma unroll
      for (int row = 0; row < kChipEach; ++row) sum[row] += x[(first + row) * in + k] * w;
    }
#pragma unroll
    for (int row = 0; row < kChipEach; ++row) write(first + row, o, bias[o] + sum[row]);
  }
}

/// A warp's rows of features, of `each` edges, behind the weights.
template <class T>
__device__ __forceinline__ T* chip_features(const Embedding<T>& embed, T* work, std::int32_t each) {
  return work + embed.weights() + static_cast<std::int32_t>(threadIdx.x) / kWarp * each * embed.stride;
}

/// The states of a network's edges, formed from features in `work`, to `edges`.
template <int D, class S, class T>
__device__ void chip_embed(const Embedding<T>& embed, const Network& network, T* work, S* edges) {
  constexpr std::int32_t kEach = kChipFeatures<D>;
  embed.load(work);
  __syncthreads();
  T* rows = chip_features(embed, work, kEach);
  for (std::int32_t first = static_cast<std::int32_t>(threadIdx.x) / kWarp * kEach; first < network.edge_count;
       first += kEdgeWarps * kEach)
    embed_edges<kEach>(
        embed, work, rows,
        [&](std::int32_t e, T* row) {
          if (first + e < network.edge_count) embed.form(network.edge_offset + first + e, network.first_block, row);
        },
        [&](std::int32_t e, std::int32_t n, T state) {
          if (first + e < network.edge_count) edges[std::int64_t{first + e} * D + n] = static_cast<S>(state);
        });
}

/// projection = W x + b of the nodes of a network that fall to block `rank` of `blocks`: every so many kChipNodes.
template <class S, class T, int D, Precision P>
__device__ void chip_project(const ChipLayers<S, T, D, P>& a, const ChipLayer<T, D, P>& layer, const Network& network,
                             const T* node, T* rows, std::int32_t rank, std::int32_t blocks) {
  for (std::int32_t base = rank * kChipNodes; base < network.node_count; base += blocks * kChipNodes) {
    const std::int64_t first = network.node_offset + base;
    __syncthreads();
    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < kChipNodes * a.h; i += kThreads)
      rows[i] = base + i / a.h < network.node_count ? node[first * a.h + i] : T(0);
    __syncthreads();
    chip_product(rows, a.h, layer.projection_weight, layer.projection_bias, 4 * D,
                 [&](std::int32_t row, std::int32_t o, T sum) {
                   if (base + row < network.node_count) a.projection[(first + row) * 4 * D + o] = sum;
                 });
  }
}

/// node_out = x + alpha mlp(layer_norm[x, f, r, c]) of the same nodes; a warp normalises a row, before which it calls
/// prepare(node).
template <class S, class T, int D, Precision P, class Prepare>
__device__ void chip_update_nodes(const ChipLayers<S, T, D, P>& a, const ChipLayer<T, D, P>& layer, std::int64_t index,
                                  const Network& network, const T* node, T* rows, std::int32_t rank,
                                  std::int32_t blocks, const Prepare& prepare) {
  const std::int32_t in = a.inputs(), lane = static_cast<std::int32_t>(threadIdx.x) % kWarp;
  T* hidden = rows + kChipNodes * in;
  for (std::int32_t base = rank * kChipNodes; base < network.node_count; base += blocks * kChipNodes) {
    const std::int64_t first = network.node_offset + base;
    __syncthreads();
    for (std::int32_t row = static_cast<std::int32_t>(threadIdx.x) / kWarp; row < kChipNodes; row += kEdgeWarps) {
      T* x = rows + row * in;
      const bool inside = base + row < network.node_count;
      if (inside) prepare(first + row);
      T sum = T(0), squares = T(0);
      for (std::int32_t i = lane; i < in; i += kWarp) {
        x[i] = !inside           ? T(0)
               : i < a.h         ? node[(first + row) * a.h + i]
               : i < a.h + 2 * D ? a.aggregate[(first + row) * 2 * D + i - a.h]
                                 : a.condition[index * a.p + i - a.h - 2 * D];
        sum += x[i];
      }
      const T mean = warp_sum(sum) / static_cast<T>(in);
      for (std::int32_t i = lane; i < in; i += kWarp) {
        x[i] -= mean;
        squares += x[i] * x[i];
      }
      const T inverse = T(1) / std::sqrt(warp_sum(squares) / static_cast<T>(in) + static_cast<T>(kEdgeNormEpsilon));
      for (std::int32_t i = lane; i < in; i += kWarp) x[i] *= inverse;
    }
    __syncthreads();
    chip_product(rows, in, layer.weight1, layer.bias1, a.f,
                 [&](std::int32_t row, std::int32_t o, T sum) { hidden[row * a.f + o] = silu(sum); });
    __syncthreads();
    chip_product(hidden, a.f, layer.weight2, layer.bias2, a.h, [&](std::int32_t row, std::int32_t o, T sum) {
      if (base + row >= network.node_count) return;
      const std::int64_t at = (first + row) * a.h + o;
      a.node_out[at] = node[at] + layer.alpha[index * a.h + o] * sum;
    });
  }
}

/// One thread block a network. Projections and aggregates, small beside the edges, go through memory: the block alone
/// reads what it wrote, a barrier later.
template <class S, class T, int D, Precision P>
__global__ void __launch_bounds__(kThreads, 1) message_layers_kernel(ChipLayers<S, T, D, P> a) {
  using Shared = EdgeForwardShared<T, D, P>;
  const std::int64_t index = blockIdx.x;
  const Network network = a.table.network[index];
  S* edges = dynamic_shared_memory<S>();  // (edges of the network, D)
  unsigned char* work = reinterpret_cast<unsigned char*>(edges + std::int64_t{network.edge_count} * D);
  Shared& shared = *reinterpret_cast<Shared*>(work + Shared::Matrices::kBytes);
  const LanePlace at;
  const auto copy = [&](const S* from, S* to) {
    const auto* source = reinterpret_cast<const Four<S>*>(from);
    auto* target = reinterpret_cast<Four<S>*>(to);
    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < network.edge_count * (D / 4); i += kThreads)
      target[i] = source[i];
  };
  if (a.embed.weight)
    chip_embed<D>(a.embed, network, reinterpret_cast<T*>(work), edges);
  else
    copy(a.edge + network.edge_offset * D, edges);
  const T* node = a.node;
  for (std::int32_t l = 0; l < a.layers; ++l) {
    const ChipLayer<T, D, P>& layer = a.layer[l];
    chip_project(a, layer, network, node, reinterpret_cast<T*>(work), 0, 1);
    __syncthreads();
    const typename Shared::Matrices matrix(layer.matrices, work);
    for (std::int32_t b = network.first_block; b < network.first_block + network.block_count; ++b) {
      const BlockCut cut = cut_block(a.table.block[b].rows, a.table.block[b].cols);
      for (std::int32_t local = 0; local < cut.parts * cut.stripes; ++local) {
        const EdgeItem item = edge_item(a.table, b, local);
        // The items of a block follow each other: later ones add to the sums of the first.
        edge_item_forward<false, S, T, D, P>(
            item, at, edges, edges, network.edge_offset, a.projection, layer.modulation, matrix, shared, shared.tile,
            [&](std::int32_t row) -> SumPlace<T> {
              const bool last = item.first_col + item.cols == item.block.cols;
              return {a.aggregate + item.target(row) * 2 * D, item.first_col > 0,
                      last ? static_cast<T>(item.block.cols) : T(1)};
            },
            [&](std::int32_t col) -> SumPlace<T> {
              const bool last = item.first_row + item.rows == item.block.rows;
              return {a.aggregate + item.source(col) * 2 * D + D, item.first_row > 0,
                      last ? static_cast<T>(item.block.rows) : T(1)};
            });
        zero_ends<D>(item, a.aggregate);
      }
    }
    chip_update_nodes(a, layer, index, network, node, reinterpret_cast<T*>(work), 0, 1, [](std::int64_t) {});
    node = a.node_out;
  }
  __syncthreads();
  copy(edges, a.edge_out + network.edge_offset * D);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
