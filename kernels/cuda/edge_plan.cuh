#pragma once

// How the edge kernels cut their work: an item is a rectangle of one block, at most kStripe columns wide and about
// kItemEdges edges large, done by one thread block. Cuts depend on the block's own shape only. Sums over an item's rows
// and columns are final when the item spans the block, and otherwise partial sums in the workspace, which
// `add_partials` adds in order. The list of items is made on the device: the host cannot read the table.

#include "kernels/block_table.hpp"
#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr int kEdgeWarps = kThreads / kWarp;
inline constexpr int kSlots = 16;                    // edges of a warp at a time
inline constexpr int kStripe = kSlots * kEdgeWarps;  // columns of an item: a round of the block spans them
inline constexpr int kItemEdges = 4096;              // enough for a block of a small network to need no partial sums
inline constexpr std::int64_t kStripeShare = 64;     // an item of a block with several is wider than half a stripe,
inline constexpr std::int64_t kPartShare = 16;       // and higher than kItemEdges / kStripe / 2 rows
static_assert(kStripeShare == kStripe / 2 && kPartShare == kItemEdges / kStripe / 2);

/// The grid of items of a block.
struct BlockCut {
  std::int32_t stripes, parts;  // across the columns, down the rows
  std::int32_t width, height;   // of an item, less at the end
};

__device__ inline BlockCut cut_block(std::int32_t rows, std::int32_t cols) {
  const auto parts_of = [](std::int32_t count, std::int32_t part) { return (count + part - 1) / part; };
  BlockCut cut{};
  if (rows <= 0 || cols <= 0) return cut;
  cut.width = parts_of(cols, parts_of(cols, kStripe));
  cut.stripes = parts_of(cols, cut.width);
  cut.height = parts_of(rows, parts_of(rows, kItemEdges / cut.width));
  cut.parts = parts_of(rows, cut.height);
  return cut;
}

/// The items of a batch, in the order of blocks; on the device.
struct EdgePlan {
  std::int32_t* item_block;    // (items): the block of an item
  std::int32_t* item_first;    // (blocks + 1): the first item of a block
  std::int64_t* row_first;     // (blocks): its first row among the partial row sums, (stripes, rows) a block
  std::int64_t* column_first;  // (blocks): its first column among the partial column sums, (parts, cols) a block
};

/// Bounds of what a plan can need, from counts the host knows.
inline std::int64_t max_items(const BlockTable& table) { return table.block_count + table.edge_count / kStripeShare; }
inline std::int64_t max_partial_rows(const BlockTable& table) { return table.edge_count / kStripeShare; }
inline std::int64_t max_partial_columns(const BlockTable& table) { return table.edge_count / kPartShare; }
/// Thread blocks for a launch that gives each an item or, when a batch is cut unusually fine, several.
inline std::int64_t usual_items(const BlockTable& table) { return table.block_count + table.edge_count / kItemEdges; }

struct PlanSums {
  std::int64_t items[kThreads], rows[kThreads], columns[kThreads];
};

/// One thread block: a thread counts a run of blocks, then numbers them.
template <int Threads>
__global__ void __launch_bounds__(Threads) plan_kernel(BlockTable table, EdgePlan plan) {
  PlanSums& shared = shared_memory<PlanSums>();
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t each = ceil_div(table.block_count, Threads), begin = each * thread,
                     end = begin + each < table.block_count ? begin + each : table.block_count;
  std::int64_t items = 0, rows = 0, columns = 0;
  const auto count = [&](std::int64_t b) {
    const Block& block = table.block[b];
    const BlockCut cut = cut_block(block.rows, block.cols);
    items += std::int64_t{cut.parts} * cut.stripes;
    if (cut.stripes > 1) rows += std::int64_t{cut.stripes} * block.rows;
    if (cut.parts > 1) columns += std::int64_t{cut.parts} * block.cols;
  };
  for (std::int64_t b = begin; b < end; ++b) count(b);
  shared.items[thread] = items;
  shared.rows[thread] = rows;
  shared.columns[thread] = columns;
  __syncthreads();
  items = rows = columns = 0;
  for (int before = 0; before < thread; ++before) {
    items += shared.items[before];
    rows += shared.rows[before];
    columns += shared.columns[before];
  }
  for (std::int64_t b = begin; b < end; ++b) {
    const std::int64_t first = items;
    plan.item_first[b] = static_cast<std::int32_t>(items);
    plan.row_first[b] = rows;
    plan.column_first[b] = columns;
    count(b);
    for (std::int64_t i = first; i < items; ++i) plan.item_block[i] = static_cast<std::int32_t>(b);
  }
  if (thread == Threads - 1) plan.item_first[table.block_count] = static_cast<std::int32_t>(items);
}

/// A thread block's piece of work.
struct EdgeItem {
  Block block;
  std::int32_t first_row, rows, first_col, cols;
  std::int64_t row_partial, column_partial;  // of its first row and column; -1: the sums are final
  bool zero_rows, zero_columns;              // nobody else writes the target's r, the source's f

  /// Elements of an edge tensor of width `d` before edge (row, col) of the item.
  __device__ std::int64_t edge(std::int32_t row, std::int32_t col) const {
    return block.edge_offset + std::int64_t{first_row + row} * block.cols + first_col + col;
  }
  __device__ std::int64_t target(std::int32_t row) const { return block.target_offset + first_row + row; }
  __device__ std::int64_t source(std::int32_t col) const { return block.source_offset + first_col + col; }
};

/// Item `local` of block `b`, without its place among partial sums.
__device__ inline EdgeItem edge_item(const BlockTable& table, std::int32_t b, std::int32_t local) {
  EdgeItem item;
  item.block = table.block[b];
  const BlockCut cut = cut_block(item.block.rows, item.block.cols);
  const std::int32_t part = local / cut.stripes, stripe = local - part * cut.stripes;
  item.first_row = part * cut.height;
  item.rows = item.block.rows - item.first_row < cut.height ? item.block.rows - item.first_row : cut.height;
  item.first_col = stripe * cut.width;
  item.cols = item.block.cols - item.first_col < cut.width ? item.block.cols - item.first_col : cut.width;
  item.row_partial = item.column_partial = -1;
  item.zero_rows = item.block.kind == BlockKind::last && stripe == 0;
  item.zero_columns = item.block.source_offset == table.network[item.block.network].node_offset && part == 0;
  return item;
}

/// Item `index` of a batch.
__device__ inline EdgeItem edge_item(const BlockTable& table, const EdgePlan& plan, std::int32_t index) {
  const std::int32_t b = plan.item_block[index];
  EdgeItem item = edge_item(table, b, index - plan.item_first[b]);
  const BlockCut cut = cut_block(item.block.rows, item.block.cols);
  if (cut.stripes > 1)
    item.row_partial = plan.row_first[b] + std::int64_t{item.first_col / cut.width} * item.block.rows + item.first_row;
  if (cut.parts > 1)
    item.column_partial =
        plan.column_first[b] + std::int64_t{item.first_row / cut.height} * item.block.cols + item.first_col;
  return item;
}

/// Zeroes the r of output nodes and the f of input nodes, which no edge adds to; by all threads of the block.
template <int D, class T>
__device__ __forceinline__ void zero_ends(const EdgeItem& item, T* aggregate) {
  if (item.zero_rows)
    for (int i = static_cast<int>(threadIdx.x); i < item.rows * D; i += kThreads)
      aggregate[item.target(i / D) * 2 * D + D + i % D] = T(0);
  if (item.zero_columns)
    for (int i = static_cast<int>(threadIdx.x); i < item.cols * D; i += kThreads)
      aggregate[item.source(i / D) * 2 * D + i % D] = T(0);
}

/// How the threads of a block lie on an item. A warp's 16 slots are `across` neighbouring columns (a power of two) of
/// 16 / across rows; the warps lie side by side until they span the item, then below each other. A round does
/// `round_rows` rows; warps that are left over are idle.
struct SlotLayout {
  std::int32_t across, tiles, warp_rows, round_rows;
  std::int32_t active_warps;

  __device__ explicit SlotLayout(std::int32_t cols) {
    across = 1;
    while (across < cols && across < kSlots) across *= 2;
    tiles = (cols + across - 1) / across;
    warp_rows = kEdgeWarps / tiles;
    round_rows = warp_rows * (kSlots / across);
    active_warps = tiles * warp_rows;
  }
  /// The warps that have an edge in a round with `left` rows of the item left; the others have nothing to do.
  __device__ std::int32_t busy_warps(std::int32_t left) const {
    const std::int32_t each = kSlots / across, needed = (left + each - 1) / each;
    return tiles * (needed < warp_rows ? needed : warp_rows);
  }
  /// Row of the round and column of the item of a slot of a warp.
  __device__ std::int32_t row(std::int32_t warp, std::int32_t slot) const {
    return warp / tiles * (kSlots / across) + slot / across;
  }
  __device__ std::int32_t col(std::int32_t warp, std::int32_t slot) const {
    return warp % tiles * across + slot % across;
  }
};

/// Adds the partial sums of blocks that have several items: `width` elements a row (a column), the sum being given to
/// row_sum(node, element, sum, block) and column_sum(...). gridDim.y thread blocks a block.
inline constexpr std::int32_t kPartialNodes = 64;

template <class T, class Row, class Column>
__global__ void __launch_bounds__(kThreads)
    partial_kernel(BlockTable table, EdgePlan plan, const T* row_partial, const T* column_partial, std::int32_t width,
                   Row row_sum, Column column_sum) {
  const Block block = table.block[blockIdx.x];
  const BlockCut cut = cut_block(block.rows, block.cols);
  if (cut.stripes <= 1 && cut.parts <= 1) return;
  const std::int64_t first = std::int64_t{blockIdx.y} * kPartialNodes * width;
  for (std::int64_t i = first + threadIdx.x; i < first + std::int64_t{kPartialNodes} * width; i += kThreads) {
    const std::int64_t node = i / width, element = i - node * width;
    T sum = T(0);
    if (node < block.rows) {
      if (cut.stripes <= 1) continue;
      for (std::int32_t s = 0; s < cut.stripes; ++s)
        sum += row_partial[(plan.row_first[blockIdx.x] + std::int64_t{s} * block.rows + node) * width + element];
      row_sum(block.target_offset + node, element, sum, block);
    } else if (node - block.rows < block.cols) {
      const std::int64_t col = node - block.rows;
      if (cut.parts <= 1) continue;
      for (std::int32_t p = 0; p < cut.parts; ++p)
        sum += column_partial[(plan.column_first[blockIdx.x] + std::int64_t{p} * block.cols + col) * width + element];
      column_sum(block.source_offset + col, element, sum, block);
    }
  }
}

template <class T, class Row, class Column>
void add_partials(const BlockTable& table, const EdgePlan& plan, const T* row_partial, const T* column_partial,
                  std::int32_t width, Stream stream, const Row& row_sum, const Column& column_sum) {
  dim3 grid = grid_of(table.block_count);
  grid.y = static_cast<unsigned>(ceil_div(table.max_nodes, kPartialNodes));
  launch(partial_kernel<T, Row, Column>, grid, dim3(kThreads), 0, stream, table, plan, row_partial, column_partial,
         width, row_sum, column_sum);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
