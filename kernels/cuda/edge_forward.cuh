#pragma once

// The forward kernel of the message layer.

#include "kernels/cuda/device_limits.cuh"
#include "kernels/cuda/edge_product.cuh"
#include "kernels/cuda/edge_sums.cuh"
#include "kernels/math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// S: the type in which states are stored.
template <class S, class T, int D, Precision P>
struct EdgeForward {
  BlockTable table;
  EdgePlan plan;
  const S* edge;
  const T *projection, *modulation;
  typename EdgeProduct<T, D, P>::Stored* matrices;
  S* edge_out;
  T* aggregate;
  T *row_partial, *column_partial;  // D elements a row or column; 2 D in the backward pass
  T* kept;                          // (thread blocks, elements of one): what has no room in registers and shared memory
};

/// Column sums of wide states are kept in shared memory: registers are too few.
template <int D>
inline constexpr bool kColumnsInTile = D > 64;

/// sums[channel] += value * factor[channel] for this lane's channels.
template <int D, class T>
__device__ __forceinline__ void add_channels(T* sums, const T* factor, const Channels<T, D>& value, int q) {
#pragma unroll
  for (int i = 0; i < D / 16; ++i) {
    Four<T>& sum = *reinterpret_cast<Four<T>*>(sums + 16 * i + 4 * q);
    const Four<T> by = *reinterpret_cast<const Four<T>*>(factor + 16 * i + 4 * q);
    Four<T> next = sum;
#pragma unroll
    for (int j = 0; j < 4; ++j) next.value[j] += value[4 * i + j] * by.value[j];
    sum = next;
  }
}

template <class T, int D, Precision P, Footprint F = Footprint::roomy>
struct EdgeForwardShared {
  using Matrices = BlockMatrices<T, D, P, kToUpdate, 2>;
  using Product = EdgeProduct<T, D, P>;
  static constexpr bool kColumnsInMemory = F == Footprint::tight && kColumnsInTile<D>;
  static constexpr int kKept = kColumnsInMemory ? RowTile<T, D>::kElements : 0;

  alignas(16) T tile[kColumnsInMemory ? 1 : RowTile<T, D>::kElements];  // column sums
  T row_sums[2][kEdgeWarps * D];
  alignas(16) T modulation[3 * D];
  EdgeItem item;  // here, not in registers, and so is its layout
  SlotLayout layout;
  alignas(16) typename Product::Word operands[kColumnsInTile<D> && Product::kFromTile ? Product::kTileWords : 1];

  /// Where column sums lie: here or, where there is no room, in the thread block's part of EdgeForward::kept.
  __device__ T* column_tile([[maybe_unused]] T* kept) {
    if constexpr (kColumnsInMemory)
      return kept + std::int64_t{blockIdx.x} * kKept;
    else
      return tile;
  }
  /// Where products find their operands: beside the column sums of wide states, else in their place.
  __device__ typename Product::Word* operand_tile() {
    if constexpr (kColumnsInTile<D>)
      return operands;
    else
      return reinterpret_cast<typename Product::Word*>(tile);
  }
};

/// Shared memory of a thread block.
template <class T, int D, Precision P, Footprint F = Footprint::roomy>
inline constexpr std::size_t kForwardBytes = EdgeForwardShared<T, D, P, F>::Matrices::kBytes +
                                             sizeof(EdgeForwardShared<T, D, P, F>);

/// g of a warp's 16 slots, whose states are at `edge`. `place(half)` says where the lane's slots are: whether there is
/// an edge (inside), its row of `edge`, its nodes.
template <class S, class T, int D, Precision P, Footprint F, class Place>
__device__ __forceinline__ void form_gates(const LanePlace& at, const Place& place, const S* edge, const T* projection,
                                           const BlockMatrices<T, D, P, kToUpdate, 2>& matrix,
                                           EdgeForwardShared<T, D, P, F>& shared, Tile<T, D>& gate) {
  using Product = EdgeProduct<T, D, P>;
  Tile<T, D> state = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto slot = place(half);
    if (!slot.inside) continue;
    read_channels<D>(projection + slot.target * 4 * D, at.q, [&](int c, T u) { gate[half][c] = u; });
    read_channels<D>(projection + slot.source * 4 * D + D, at.q, [&](int c, T v) { gate[half][c] += v; });
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto slot = place(half);
    if (slot.inside)
      read_channels<D>(edge + slot.edge * D, at.q, [&](int c, S e) { state[half][c] = static_cast<T>(e); });
  }
  if constexpr (Product::kFromTile) {
    Product::put(shared.operand_tile(), at, state);
    __syncwarp();
  }
  Product::multiply(shared.operand_tile(), at, state, matrix[kToState], gate);
  normalise<D>(gate[0]);
  normalise<D>(gate[1]);
  read_channels<D>(shared.modulation, at.q, [&](int c, T gamma) {
    gate[0][c] *= gamma;
    gate[1][c] *= gamma;
  });
  read_channels<D>(shared.modulation + D, at.q, [&](int c, T beta) {
    gate[0][c] = silu(gate[0][c] + beta);
    gate[1][c] = silu(gate[1][c] + beta);
  });
}

/// e + alpha G g of the slots to `edge_out`. Exact products find g in the tile.
template <class S, class T, int D, Precision P, Footprint F, class Place>
__device__ __forceinline__ void update_states(const LanePlace& at, const Place& place, const S* edge, S* edge_out,
                                              const BlockMatrices<T, D, P, kToUpdate, 2>& matrix,
                                              EdgeForwardShared<T, D, P, F>& shared, const Tile<T, D>& gate) {
  Tile<T, D> value = {};
  EdgeProduct<T, D, P>::multiply(shared.operand_tile(), at, gate, matrix[kToUpdate], value);
  // e once more, from where it is near: there are too few registers to keep it.
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto slot = place(half);
    if (!slot.inside) continue;
    read_channels<D>(shared.modulation + 2 * D, at.q, [&](int c, T alpha) { value[half][c] *= alpha; });
    read_channels<D>(edge + slot.edge * D, at.q, [&](int c, S e) { value[half][c] += static_cast<T>(e); });
    write_channels<D>(edge_out + slot.edge * D, at.q, [&](int c) { return value[half][c]; });
  }
}

/// All of an item, by all threads of the block: states are read from `edge` and written to `edge_out`, of which the
/// first is edge `first_edge` of the batch; the sums over the item's columns, of g s, and over its rows, of g t, go to
/// row_place(row) and column_place(col), the latter by way of `columns`, a RowTile.
/// Prefetch: states are in device memory.
template <bool Prefetch, class S, class T, int D, Precision P, Footprint F, class RowPlace, class ColumnPlace>
__device__ __forceinline__ void edge_item_forward(const EdgeItem& item, const LanePlace& at, const S* edge, S* edge_out,
                                                  std::int64_t first_edge, const T* projection, const T* modulation,
                                                  const BlockMatrices<T, D, P, kToUpdate, 2>& matrix,
                                                  EdgeForwardShared<T, D, P, F>& shared, T* columns,
                                                  const RowPlace& row_place, const ColumnPlace& column_place) {
  using Product = EdgeProduct<T, D, P>;
  using Rows = RowTile<T, D>;
  const SlotLayout& layout = shared.layout;
  __syncthreads();  // the item before is done with the shared memory
  if (threadIdx.x == 0) shared.layout = SlotLayout(item.cols);
  for (int i = static_cast<int>(threadIdx.x); i < 3 * D; i += kThreads)
    shared.modulation[i] = modulation[std::int64_t{item.block.network} * 3 * D + i];
  __syncthreads();
  Tile<T, D> column;
  if constexpr (kColumnsInTile<D>)
    Rows::put(columns, at, Tile<T, D>{});
  else
#pragma unroll
    for (int i = 0; i < D / 4; ++i) column[0][i] = column[1][i] = T(0);
  int buffer = 0;
  for (std::int32_t first_row = 0; first_row < item.rows; first_row += layout.round_rows, buffer ^= 1) {
    if (at.warp < layout.busy_warps(item.rows - first_row)) {
      const auto place = [&](int half) {
        SlotPlace slot(item, layout, at, half, first_row);
        slot.edge -= first_edge;
        return slot;
      };
      if constexpr (Prefetch)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const SlotPlace next(item, layout, at, half, first_row + layout.round_rows);
          if (next.inside) prefetch_row<D>(edge + next.edge * D, at.q);
        }
      Tile<T, D> gate = {};
      form_gates<S, T, D, P>(at, place, edge, projection, matrix, shared, gate);
      {
        RowSum<T, D> row;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const SlotPlace slot = place(half);
          row.begin(layout.across, half);
          if (slot.inside) {
            read_channels<D>(projection + slot.source * 4 * D + 2 * D, at.q,
                             [&](int c, T s) { row.value[c] += gate[half][c] * s; });
            if constexpr (kColumnsInTile<D>) {
              T* sums = Rows::row(columns, at.warp * kSlots + at.slot(half));
              add_channels<D>(sums, projection + slot.target * 4 * D + 3 * D, gate[half], at.q);
            } else {
              read_channels<D>(projection + slot.target * 4 * D + 3 * D, at.q,
                               [&](int c, T t) { column[half][c] += gate[half][c] * t; });
            }
          }
          row.end(layout.across, at, half, shared.row_sums[buffer] + at.warp * D,
                  [&](int) { return slot.row < item.rows ? row_place(slot.row) : SumPlace<T>{}; });
        }
      }
      if constexpr (Product::kFromTile) {
        __syncwarp();
        Product::put(shared.operand_tile(), at, gate);
        __syncwarp();
      }
      update_states<S, T, D, P>(at, place, edge, edge_out, matrix, shared, gate);
      if constexpr (Product::kFromTile) __syncwarp();  // the next round writes the tile
    }
    __syncthreads();
    add_warps<D>(layout, shared.row_sums[buffer],
                 [&](int row) { return first_row + row < item.rows ? row_place(first_row + row) : SumPlace<T>{}; });
  }
  if constexpr (!kColumnsInTile<D>)
    put_columns<D>(layout, at, columns, [&](int half, int c) { return column[half][c]; });
  add_columns<D>(item, layout, columns, column_place);
}

/// All items of a thread block.
template <class S, class T, int D, Precision P, Footprint F>
__device__ __forceinline__ void edge_update_forward_items(const EdgeForward<S, T, D, P>& a) {
  using Shared = EdgeForwardShared<T, D, P, F>;
  unsigned char* memory = dynamic_shared_memory<unsigned char>();
  const typename Shared::Matrices matrix(a.matrices, memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory + Shared::Matrices::kBytes);
  T* columns = shared.column_tile(a.kept);
  const LanePlace at;
  const std::int32_t items = a.plan.item_first[a.table.block_count];
  for (std::int32_t index = static_cast<std::int32_t>(blockIdx.x); index < items;
       index += static_cast<std::int32_t>(gridDim.x)) {
    __syncthreads();
    if (threadIdx.x == 0) shared.item = edge_item(a.table, a.plan, index);
    __syncthreads();
    const EdgeItem& item = shared.item;
    // A sum is a mean when the item has all of the row, or column.
    edge_item_forward<true, S, T, D, P>(
        item, at, a.edge, a.edge_out, 0, a.projection, a.modulation, matrix, shared, columns,
        [&](std::int32_t row) -> SumPlace<T> {
          if (item.row_partial >= 0) return {a.row_partial + (item.row_partial + row) * D, false, T(1)};
          return {a.aggregate + item.target(row) * 2 * D, false, static_cast<T>(item.block.cols)};
        },
        [&](std::int32_t col) -> SumPlace<T> {
          if (item.column_partial >= 0) return {a.column_partial + (item.column_partial + col) * D, false, T(1)};
          return {a.aggregate + item.source(col) * 2 * D + D, false, static_cast<T>(item.block.rows)};
        });
    zero_ends<D>(item, a.aggregate);
  }
}

template <class S, class T, int D, Precision P, Footprint F>
// Two thread blocks a multiprocessor leave 128 registers, which is enough for narrow states alone.
__global__ void __launch_bounds__(kThreads, P == Precision::bf16 && D <= 32 ? 2 : 1)
    edge_update_forward_kernel(const __grid_constant__ EdgeForward<S, T, D, P> a) {
  if constexpr (kMayRun<F>) edge_update_forward_items<S, T, D, P, F>(a);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
