#pragma once

// All layers of a network by a thread block cluster, whose blocks keep the states of its edges in their shared memory
// (tile_order.cuh). What they exchange goes through device memory, or rather the L2 cache, between barriers of the
// cluster: projections, partial sums of rows and columns, nodes. Two barriers a layer, and one or more for the chains
// of a column that several blocks add to, each in its turn: a block arrives once it has done what others wait for, and
// waits after all else.
//
// The 8 warps of a block do neighbouring tiles. A thread adds the chains of a slot and channel from tile to tile, which
// find their g in shared memory.

#include "kernels/cuda/message_layers.cuh"
#include "kernels/cuda/tile_order.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

template <class S, class T, int D, Precision P>
struct ClusterLayers {
  ChipLayers<S, T, D, P> chip;
  T *row_sums, *chain_sums;  // (clusters, max_edges, D): those at place p of the network in row p
  std::int32_t room;         // edges of a block
};

/// What a block keeps of its network through all layers.
struct ClusterShared {
  TileShare share;
  TileCut cut[kMaxCluster + 1];
  TileWalk walk[kEdgeWarps];
  ChipTile tile[kEdgeWarps];
};

/// Where a lane's slot of a tile is.
struct TileSlot {
  bool inside;
  std::int32_t row, col;
  std::int64_t edge, target, source;  // edge: of the block's share

  __device__ TileSlot(const ChipTile& tile, int slot, std::int32_t first_place)
      : row(slot >> tile.shift), col(slot & ((1 << tile.shift) - 1)) {
    inside = row < tile.rows && col < tile.cols;
    edge = tile.place - first_place + row * tile.cols + col;
    target = tile.target + row;
    source = tile.source + col;
  }
};

/// Calls body(tile of the warp, end of the run) round after round of a run; all threads of the block.
template <class Body>
__device__ __forceinline__ void each_round(const BlockTable& table, const Network& network, ClusterShared& own, int run,
                                           const Body& body) {
  const std::int32_t end = own.share.bound[run + 1];
  if (own.share.bound[run] == end) return;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const bool first_lane = threadIdx.x % kWarp == 0;
  if (first_lane) own.walk[warp] = own.share.start[run][warp];
  for (bool more = true; more;) {
    if (first_lane) own.tile[warp] = own.walk[warp].tile(network, end);
    __syncthreads();
    body(own.tile[warp], end);
    more = own.tile[kEdgeWarps - 1].end() < end;
    if (first_lane && more) own.walk[warp].advance(table, network, kEdgeWarps);
    __syncthreads();
  }
}

/// Calls copy(edge of the batch, edge of the share, lane of the slot's four) for all edges of the share.
template <class Copy>
__device__ __forceinline__ void copy_share(const BlockTable& table, const Network& network, ClusterShared& own,
                                           const Copy& copy) {
  const LanePlace at;
#pragma unroll 1
  for (int run = 0; run < TileShare::kRuns; ++run)
    each_round(table, network, own, run, [&](const ChipTile& tile, std::int32_t) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const TileSlot slot(tile, at.slot(half), own.share.bound[0]);
        if (slot.inside) copy(tile.edge + std::int64_t{slot.row} * tile.block_cols + slot.col, slot.edge, at.q);
      }
    });
}

/// The lane's fours of a row.
template <int D, class S>
__device__ __forceinline__ void copy_channels(const S* from, S* to, int q) {
#pragma unroll
  for (int i = 0; i < D / 16; ++i)
    *reinterpret_cast<Four<S>*>(to + 16 * i + 4 * q) = *reinterpret_cast<const Four<S>*>(from + 16 * i + 4 * q);
}

/// The states of the share's edges, formed from features in `work`, to `edges`. All threads of the block.
template <int D, class S, class T>
__device__ __forceinline__ void embed_share(const Embedding<T>& embed, const BlockTable& table, const Network& network,
                                            ClusterShared& own, T* work, S* edges) {
  __syncthreads();  // the network before is done with the shared memory
  embed.load(work);
  __syncthreads();
  T* rows = chip_features(embed, work, kSlots);
#pragma unroll 1
  for (int run = 0; run < TileShare::kRuns; ++run)
    each_round(table, network, own, run, [&](const ChipTile& tile, std::int32_t) {
      if (tile.rows == 0) return;
      embed_edges<kSlots>(
          embed, work, rows,
          [&](std::int32_t e, T* row) {
            const TileSlot slot(tile, e, own.share.bound[0]);
            if (slot.inside)
              embed.form(tile.edge + std::int64_t{slot.row} * tile.block_cols + slot.col, network.first_block, row);
          },
          [&](std::int32_t e, std::int32_t n, T state) {
            const TileSlot slot(tile, e, own.share.bound[0]);
            if (slot.inside) edges[slot.edge * D + n] = static_cast<S>(state);
          });
    });
}

/// A layer of the edges in one run of the share. The states' place in shared memory is `edges`.
template <class S, class T, int D, Precision P>
__device__ __forceinline__ void cluster_edges(const ChipLayers<S, T, D, P>& a, const Network& network,
                                              const BlockMatrices<T, D, P, kToUpdate, 2>& matrix, ClusterShared& own,
                                              int run, S* edges, EdgeForwardShared<T, D, P>& shared, T* row_sums,
                                              T* chain_sums) {
  constexpr int kChains = D * kSlots / kThreads;  // of a thread
  using Rows = RowTile<T, D>;
  const LanePlace at;
  const int channel = static_cast<int>(threadIdx.x) % D, first_slot = static_cast<int>(threadIdx.x) / D;
  T chain[kChains] = {};
  each_round(a.table, network, own, run, [&](const ChipTile& tile, std::int32_t end) {
    const auto place = [&](int half) { return TileSlot(tile, at.slot(half), own.share.bound[0]); };
    const bool active = tile.rows > 0;
    Tile<T, D> gate = {};
    if (active) {
      form_gates<S, T, D, P>(at, place, edges, a.projection, matrix, shared, gate);
      RowSum<T, D> row;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const TileSlot slot = place(half);
        row.begin(1 << tile.shift, half);
        if (slot.inside)
          read_channels<D>(a.projection + slot.source * 4 * D + 2 * D, at.q,
                           [&](int c, T s) { row.value[c] += gate[half][c] * s; });
        row.end(1 << tile.shift, at, half, row_sums + std::int64_t{tile.place} * D, [&](int) -> SumPlace<T> {
          if (slot.row >= tile.rows) return {};
          return {row_sums + std::int64_t{tile.place + slot.row * tile.cols} * D, false, T(1)};
        });
      }
      if constexpr (EdgeProduct<T, D, P>::kFromTile) __syncwarp();
      Rows::put(shared.tile, at, gate);
    }
    __syncthreads();
#pragma unroll 1
    for (int warp = 0; warp < kEdgeWarps && own.tile[warp].rows > 0; ++warp) {
      const ChipTile& next = own.tile[warp];
#pragma unroll
      for (int i = 0; i < kChains; ++i) {
        const int slot = first_slot + i * (kThreads / D);
        const TileSlot in(next, slot, 0);
        if (in.row >= next.chain_rows || in.col >= next.cols) continue;
        T& kept = chain_sums[std::int64_t{next.chains + in.row * next.cols + in.col} * D + channel];
        if (next.begins)
          chain[i] = T(0);
        else if (next.place == own.share.bound[run])
          chain[i] = kept;
        if (in.inside)
          chain[i] +=
              Rows::row(shared.tile, warp * kSlots + slot)[channel] * a.projection[in.target * 4 * D + 3 * D + channel];
        if (next.ends || next.end() == end) kept = chain[i];
      }
    }
    if (active) update_states<S, T, D, P>(at, place, edges, edges, matrix, shared, gate);
  });
}

/// f and r of a node of the network, by a warp, in the order of edge_update's sums.
template <int D, class T>
__device__ void complete_sums(const BlockTable& table, const Network& network, std::int64_t node, const T* row_sums,
                              const T* chain_sums, T* aggregate) {
  constexpr int kEach = (D + kWarp - 1) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto add = [&](const T* sums, std::int32_t place, T(&total)[kEach]) {
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (lane + i * kWarp < D) total[i] += sums[std::int64_t{place} * D + lane + i * kWarp];
  };
  T f[kEach] = {}, r[kEach] = {};
  for (std::int32_t b = network.first_block; b < network.first_block + network.block_count; ++b) {
    const Block block = table.block[b];
    const BlockCut cut = cut_block(block.rows, block.cols);
    const auto row = static_cast<std::int32_t>(node - block.target_offset),
               col = static_cast<std::int32_t>(node - block.source_offset);
    if (row >= 0 && row < block.rows && block.cols > 0) {
      for (std::int32_t stripe = 0; stripe < cut.stripes; ++stripe) {
        const TileOrder order(table, network, b, row / cut.height * cut.stripes + stripe);
        T sum[kEach] = {};
        for (std::int32_t tile = 0; tile < order.layout.tiles; ++tile)
          add(row_sums, order.row_sum(row - order.item.first_row, tile), sum);
#pragma unroll
        for (int i = 0; i < kEach; ++i) f[i] += sum[i];
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i) f[i] /= static_cast<T>(block.cols);
    }
    if (col >= 0 && col < block.cols && block.rows > 0) {
      for (std::int32_t part = 0; part < cut.parts; ++part) {
        const TileOrder order(table, network, b, part * cut.stripes + col / cut.width);
        T sum[kEach] = {};
        for (std::int32_t first = 0; first < order.layout.round_rows && first < order.item.rows; ++first)
          add(chain_sums, order.chain_sum(col - order.item.first_col, first), sum);
#pragma unroll
        for (int i = 0; i < kEach; ++i) r[i] += sum[i];
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i) r[i] /= static_cast<T>(block.rows);
    }
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    if (lane + i * kWarp < D) {
      aggregate[node * 2 * D + lane + i * kWarp] = f[i];
      aggregate[node * 2 * D + D + lane + i * kWarp] = r[i];
    }
  __syncwarp();
}

/// A cluster does one network after the other.
template <class S, class T, int D, Precision P>
__global__ void __launch_bounds__(kThreads, 1) message_clusters_kernel(ClusterLayers<S, T, D, P> c) {
  if constexpr (kHasClusters) {
    using Shared = EdgeForwardShared<T, D, P>;
    const ChipLayers<S, T, D, P>& a = c.chip;
    const std::int32_t rank = cluster_rank(), blocks = cluster_size(),
                       cluster = static_cast<std::int32_t>(blockIdx.x) / blocks,
                       clusters = static_cast<std::int32_t>(gridDim.x) / blocks;
    T* row_sums = c.row_sums + std::int64_t{cluster} * a.table.max_edges * D;
    T* chain_sums = c.chain_sums + std::int64_t{cluster} * a.table.max_edges * D;
    S* edges = dynamic_shared_memory<S>();  // (room, D)
    unsigned char* work = reinterpret_cast<unsigned char*>(edges + std::int64_t{c.room} * D);
    Shared& shared = *reinterpret_cast<Shared*>(work + Shared::Matrices::kBytes);
    ClusterShared& own = shared_memory<ClusterShared>();
    for (std::int32_t index = cluster; index < a.table.network_count; index += clusters) {
      const Network network = a.table.network[index];
      deal_tiles(a.table, network, rank, blocks, own.cut, own.share);
      if (a.embed.weight)
        embed_share<D>(a.embed, a.table, network, own, reinterpret_cast<T*>(work), edges);
      else
        copy_share(a.table, network, own, [&](std::int64_t edge, std::int64_t mine, int q) {
          copy_channels<D>(a.edge + edge * D, edges + mine * D, q);
        });
      const T* node = a.node;
      for (std::int32_t l = 0; l < a.layers; ++l) {
        const ChipLayer<T, D, P>& layer = a.layer[l];
        chip_project(a, layer, network, node, reinterpret_cast<T*>(work), rank, blocks);
        cluster_barrier();
        const typename Shared::Matrices matrix(layer.matrices, work);
        for (int i = static_cast<int>(threadIdx.x); i < 3 * D; i += kThreads)
          shared.modulation[i] = layer.modulation[std::int64_t{index} * 3 * D + i];
        __syncthreads();
        for (std::int32_t step = 0; step <= 2 * own.share.turns; ++step) {
          if (step % 2 == 1) cluster_arrive();
          if (step % 2 == 0 && step > 0) cluster_wait();
          const int run = step == 0                    ? TileShare::kBegun
                          : step == 1                  ? TileShare::kWhole
                          : step == 2 * own.share.turn ? TileShare::kRest
                                                       : -1;
          if (run >= 0) cluster_edges<S, T, D, P>(a, network, matrix, own, run, edges, shared, row_sums, chain_sums);
        }
        cluster_barrier();
        chip_update_nodes(
            a, layer, index, network, node, reinterpret_cast<T*>(work), rank, blocks,
            [&](std::int64_t of) { complete_sums<D>(a.table, network, of, row_sums, chain_sums, a.aggregate); });
        node = a.node_out;
      }
      copy_share(a.table, network, own, [&](std::int64_t edge, std::int64_t mine, int q) {
        copy_channels<D>(edges + mine * D, a.edge_out + edge * D, q);
      });
    }
  }
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
