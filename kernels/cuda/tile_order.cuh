#pragma once

// How a thread block cluster deals the edges of a network to its blocks. The warps of edge_update do an item 16 edges a
// round, and its sums over rows and columns follow from that: a row's sum from the tiles that it crosses, a column's
// from the chains of edges that one lane adds, round after round. A network's tiles lie in the order of items, warps
// and rounds, so that the tiles of a warp, and with them its chains, follow each other. A block gets a run of tiles
// with an equal share of the edges, whatever the network's shape; where it ends amid a warp's rounds the next block
// goes on with the chains.
//
// An edge is at its place in this order. The sum of a row over a tile is kept at the place of its first edge there,
// that of a chain at the place of its first edge.

#include "kernels/cuda/edge_plan.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr std::int32_t kMaxCluster = 8;

/// The tiles of an item.
struct TileOrder {
  EdgeItem item{};
  SlotLayout layout{1};
  std::int32_t first = 0;  // place of the item's first edge

  TileOrder() = default;
  __device__ TileOrder(const BlockTable& table, const Network& network, std::int32_t block, std::int32_t local)
      : item(edge_item(table, block, local)),
        layout(item.cols),
        first(static_cast<std::int32_t>(item.block.edge_offset - network.edge_offset) +
              item.first_row * item.block.cols + item.rows * item.first_col) {}

  __device__ std::int32_t end() const { return first + item.rows * item.cols; }
  __device__ bool last_of_block() const {
    return item.first_row + item.rows == item.block.rows && item.first_col + item.cols == item.block.cols;
  }
  /// Rows of a tile.
  __device__ std::int32_t rows_each() const { return kSlots / layout.across; }
  /// Where a warp begins, and the rows and columns that it does in all its rounds.
  __device__ std::int32_t first_row(std::int32_t warp) const { return warp / layout.tiles * rows_each(); }
  __device__ std::int32_t first_col(std::int32_t warp) const { return warp % layout.tiles * layout.across; }
  __device__ std::int32_t rows(std::int32_t warp) const {
    const std::int32_t left = item.rows % layout.round_rows - first_row(warp), each = rows_each();
    return item.rows / layout.round_rows * each + (left < 0 ? 0 : left < each ? left : each);
  }
  __device__ std::int32_t cols(std::int32_t warp) const {
    const std::int32_t left = item.cols - first_col(warp);
    return left < layout.across ? left : layout.across;
  }
  __device__ std::int32_t rounds(std::int32_t warp) const { return (rows(warp) + rows_each() - 1) / rows_each(); }
  /// Places of a warp's first edge, and of the one behind its last.
  __device__ std::int32_t begin(std::int32_t warp) const {
    const std::int32_t row = first_row(warp), left = item.rows % layout.round_rows;
    return first + (item.rows / layout.round_rows * row + (left < row ? left : row)) * item.cols +
           first_col(warp) * rows(warp);
  }
  __device__ std::int32_t end(std::int32_t warp) const { return begin(warp) + rows(warp) * cols(warp); }
  /// Place of the sum of a row over tile `tile` of those side by side.
  __device__ std::int32_t row_sum(std::int32_t row, std::int32_t tile) const {
    const std::int32_t inside = row % layout.round_rows, warp = inside / rows_each() * layout.tiles + tile;
    return begin(warp) + (row / layout.round_rows * rows_each() + inside % rows_each()) * cols(warp);
  }
  /// Place of the sum of the chain of a column that begins in `row`, one of the first round.
  __device__ std::int32_t chain_sum(std::int32_t col, std::int32_t row) const {
    const std::int32_t warp = row / rows_each() * layout.tiles + col / layout.across;
    return begin(warp) + row % rows_each() * cols(warp) + col % layout.across;
  }
};

/// A tile: its edge (row, col) is in slot row << shift | col.
struct ChipTile {
  std::int32_t place;                 // of its first edge
  std::int32_t rows, cols, shift;     // no rows: no tile
  std::int64_t edge, target, source;  // of the first edge: rows of the batch's tensors
  std::int32_t block_cols;            // edges of the batch from one row to the next
  std::int32_t chains, chain_rows;    // the place and the rows of its warp's first tile
  bool begins, ends;                  // its warp's rounds

  __device__ std::int32_t end() const { return place + rows * cols; }
};

/// Goes over the tiles of a network.
struct TileWalk {
  TileOrder order;
  std::int32_t block = 0, local = 0, warp = 0, round = 0;  // local: item of the block

  /// At the first tile that is not before `place`.
  __device__ TileWalk(const BlockTable& table, const Network& network, std::int32_t place)
      : block(network.first_block) {
    const auto end = [&](const Block& b) {
      return b.edge_offset - network.edge_offset + std::int64_t{b.rows} * b.cols;
    };
    while (!ended(network) && place >= end(table.block[block])) ++block;
    if (ended(network)) return;
    do order = TileOrder(table, network, block, local++);
    while (place >= order.end());
    --local;
    while (place >= order.end(warp)) ++warp;
    const std::int32_t each = order.rows_each() * order.cols(warp);
    advance(table, network, (place - order.begin(warp) + each - 1) / each);
  }
  __device__ bool ended(const Network& network) const { return block == network.first_block + network.block_count; }
  __device__ std::int32_t place(const Network& network) const {
    return ended(network) ? network.edge_count : order.begin(warp) + round * order.rows_each() * order.cols(warp);
  }
  __device__ void advance(const BlockTable& table, const Network& network, std::int32_t tiles) {
    for (round += tiles; !ended(network) && round >= order.rounds(warp);) {
      round -= order.rounds(warp);
      if (++warp < order.layout.active_warps) continue;
      warp = 0;
      ++local;
      if (order.last_of_block()) {
        local = 0;
        do ++block;
        while (!ended(network) && (table.block[block].rows == 0 || table.block[block].cols == 0));
      }
      if (!ended(network)) order = TileOrder(table, network, block, local);
    }
  }
  /// The tile, if it is before place `end`.
  __device__ ChipTile tile(const Network& network, std::int32_t end) const {
    ChipTile tile{};
    tile.place = place(network);
    if (tile.place >= end) {
      tile.place = end;
      return tile;
    }
    const std::int32_t each = order.rows_each(), rows = order.rows(warp), left = rows - round * each,
                       row = round * order.layout.round_rows + order.first_row(warp), col = order.first_col(warp);
    tile.rows = left < each ? left : each;
    tile.cols = order.cols(warp);
    while (1 << tile.shift < order.layout.across) ++tile.shift;
    tile.edge = order.item.edge(row, col);
    tile.target = order.item.target(row);
    tile.source = order.item.source(col);
    tile.block_cols = order.item.block.cols;
    tile.chains = order.begin(warp);
    tile.chain_rows = rows < each ? rows : each;
    tile.begins = round == 0;
    tile.ends = left <= each;
    return tile;
  }
};

/// What a block of a cluster does of a network, in three runs, of which the first and the last may be empty: the rest
/// of a warp's tiles that blocks before it began, whole warps, the beginning of one that blocks behind it finish.
struct TileShare {
  static constexpr int kRest = 0, kWhole = 1, kBegun = 2, kRuns = 3;

  std::int32_t bound[kRuns + 1];      // places where runs begin and end
  std::int32_t turn;                  // blocks that come before it at its rest
  std::int32_t turns;                 // the most of all blocks, and at least 1
  TileWalk start[kRuns][kEdgeWarps];  // of each warp in each run: it does every kEdgeWarps-th tile
};

/// Room for a share: one has less than a tile more than equal parts.
inline std::int64_t share_room(std::int64_t edges, std::int64_t blocks) { return edges / blocks + kSlots; }

/// The cut before a block's first tile.
struct TileCut {
  std::int32_t place, warp_begin, warp_end;  // those of the warp whose tile it is
};

/// Finds the share of block `rank` of `blocks`; all threads must call it, `cut` is theirs. Ends with a barrier.
__device__ inline void deal_tiles(const BlockTable& table, const Network& network, std::int32_t rank,
                                  std::int32_t blocks, TileCut (&cut)[kMaxCluster + 1], TileShare& share) {
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const auto begin = [&](std::int32_t block) {
    return static_cast<std::int32_t>(std::int64_t{network.edge_count} * block / blocks);
  };
  if (thread <= blocks) {
    const TileWalk walk(table, network, begin(thread));
    const std::int32_t place = walk.place(network);
    const bool ended = walk.ended(network);
    cut[thread] = {place, ended ? place : walk.order.begin(walk.warp), ended ? place : walk.order.end(walk.warp)};
  }
  __syncthreads();
  if (thread == 0) {
    const auto turn_of = [&](std::int32_t block) {
      std::int32_t before = 0;
      if (cut[block].place > cut[block].warp_begin)
        while (begin(block - before) > cut[block].warp_begin) ++before;
      return before;
    };
    const auto less = [](std::int32_t a, std::int32_t b) { return a < b ? a : b; };
    const TileCut own = cut[rank], next = cut[rank + 1];
    share.bound[0] = own.place;
    share.bound[1] = own.place > own.warp_begin ? less(own.warp_end, next.place) : own.place;
    share.bound[2] = next.warp_begin > share.bound[1] ? next.warp_begin : share.bound[1];
    share.bound[3] = next.place;
    share.turn = turn_of(rank);
    share.turns = 1;
    for (std::int32_t block = 1; block < blocks; ++block)
      if (turn_of(block) > share.turns) share.turns = turn_of(block);
  }
  __syncthreads();
  if (thread < TileShare::kRuns * kEdgeWarps) {
    TileWalk walk(table, network, share.bound[thread / kEdgeWarps]);
    walk.advance(table, network, thread % kEdgeWarps);
    share.start[thread / kEdgeWarps][thread % kEdgeWarps] = walk;
  }
  __syncthreads();
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
