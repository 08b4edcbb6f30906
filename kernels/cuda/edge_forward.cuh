#pragma once

// The forward kernel of the message layer.

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
  T* kept;                          // (thread blocks, sums, threads) for sums that a thread does not keep in registers
  T *row_partial, *column_partial;  // D elements a row or column; 2 D in the backward pass
};

template <class T, int D, Precision P>
constexpr bool forward_columns_in_memory() {
  return D > 64 && EdgeProduct<T, D, P>::kFromTile;
}

template <class T, int D, Precision P>
struct EdgeForwardShared {
  using Matrices = BlockMatrices<T, D, P, 2>;
  T tile[RowTile<T, D>::kElements];  // the operands of exact products; column sums
  T row_sums[2][kEdgeWarps * D];
  T modulation[3 * D];
  EdgeItem item;
};

/// g of a warp's 16 slots, whose states are at `edge`. `place(half)` says where the lane's slots are: whether there is
/// an edge (inside), its row of `edge`, its nodes.
template <class S, class T, int D, Precision P, class Place>
__device__ __forceinline__ void form_gates(const LanePlace& at, const Place& place, const S* edge, const T* projection,
                                           const BlockMatrices<T, D, P, 2>& matrix, EdgeForwardShared<T, D, P>& shared,
                                           Tile<T, D>& gate) {
  using Product = EdgeProduct<T, D, P>;
  Tile<T, D> state = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto slot = place(half);
    if (!slot.inside) continue;
    read_channels<D>(edge + slot.edge * D, at.q, [&](int c, S e) { state[half][c] = static_cast<T>(e); });
    read_channels<D>(projection + slot.target * 4 * D, at.q, [&](int c, T u) { gate[half][c] = u; });
    read_channels<D>(projection + slot.source * 4 * D + D, at.q, [&](int c, T v) { gate[half][c] += v; });
  }
  if constexpr (Product::kFromTile) {
    Product::put(shared.tile, at, state);
    __syncwarp();
  }
  Product::multiply(shared.tile, at, state, matrix[kToState], gate);
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
template <class S, class T, int D, Precision P, class Place>
__device__ __forceinline__ void update_states(const LanePlace& at, const Place& place, const S* edge, S* edge_out,
                                              const BlockMatrices<T, D, P, 2>& matrix,
                                              EdgeForwardShared<T, D, P>& shared, const Tile<T, D>& gate) {
  Tile<T, D> value = {};
  EdgeProduct<T, D, P>::multiply(shared.tile, at, gate, matrix[kToUpdate], value);
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
/// first is edge `first_edge` of the batch; write_row(row, channel, sum of g s) and write_column(col, channel, sum of
/// g t) take the sums over the item's columns and rows. `column` is what a thread sums columns in.
/// Prefetch: states are in device memory.
template <bool Prefetch, class S, class T, int D, Precision P, class Column, class WriteRow, class WriteColumn>
__device__ __forceinline__ void edge_item_forward(const EdgeItem& item, const LanePlace& at, const S* edge, S* edge_out,
                                                  std::int64_t first_edge, const T* projection, const T* modulation,
                                                  const BlockMatrices<T, D, P, 2>& matrix,
                                                  EdgeForwardShared<T, D, P>& shared, Column& column,
                                                  const WriteRow& write_row, const WriteColumn& write_column) {
  using Product = EdgeProduct<T, D, P>;
  const SlotLayout layout(item.cols);
  __syncthreads();  // the item before is done with the shared memory
  for (int i = static_cast<int>(threadIdx.x); i < 3 * D; i += kThreads)
    shared.modulation[i] = modulation[std::int64_t{item.block.network} * 3 * D + i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < D / 2; ++i) column[i] = T(0);
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
            read_channels<D>(projection + slot.target * 4 * D + 3 * D, at.q,
                             [&](int c, T t) { column[half * (D / 4) + c] += gate[half][c] * t; });
          }
          row.end(layout.across, at, half, shared.row_sums[buffer] + at.warp * D, [&](int, int c, T sum) {
            if (slot.row < item.rows) write_row(slot.row, at.channel(c), sum);
          });
        }
      }
      if constexpr (Product::kFromTile) {
        __syncwarp();
        Product::put(shared.tile, at, gate);
        __syncwarp();
      }
      update_states<S, T, D, P>(at, place, edge, edge_out, matrix, shared, gate);
      if constexpr (Product::kFromTile) __syncwarp();  // the next round writes the tile
    }
    __syncthreads();
    add_warps<D>(layout, shared.row_sums[buffer], [&](int row, int channel, T sum) {
      if (first_row + row < item.rows) write_row(first_row + row, channel, sum);
    });
  }
  add_columns<D>(
      item, layout, at, shared.tile, [&](int half, int c) { return column[half * (D / 4) + c]; }, write_column);
}

template <class S, class T, int D, Precision P>
// Two thread blocks a multiprocessor leave 128 registers, which is enough for narrow states alone.
__global__ void __launch_bounds__(kThreads, P == Precision::bf16 && D <= 32 ? 2 : 1)
    edge_update_forward_kernel(EdgeForward<S, T, D, P> a) {
  using Shared = EdgeForwardShared<T, D, P>;
  unsigned char* memory = dynamic_shared_memory<unsigned char>();
  const typename Shared::Matrices matrix(a.matrices, memory);
  Shared& shared = *reinterpret_cast<Shared*>(memory + Shared::Matrices::kBytes);
  const LanePlace at;
  const std::int32_t items = a.plan.item_first[a.table.block_count];
  for (std::int32_t index = static_cast<std::int32_t>(blockIdx.x); index < items;
       index += static_cast<std::int32_t>(gridDim.x)) {
    __syncthreads();
    if (threadIdx.x == 0) shared.item = edge_item(a.table, a.plan, index);
    __syncthreads();
    const EdgeItem& item = shared.item;  // there, not in registers
    // Exact products of 128 channels leave no registers for the column sums.
    KeptSums<T, D / 2, forward_columns_in_memory<T, D, P>()> column(a.kept +
                                                                    std::int64_t{blockIdx.x} * (D / 2) * kThreads);
    // A sum is a mean when the item has all of the row, or column.
    edge_item_forward<true, S, T, D, P>(
        item, at, a.edge, a.edge_out, 0, a.projection, a.modulation, matrix, shared, column,
        [&](std::int32_t row, int channel, T sum) {
          if (item.row_partial < 0)
            a.aggregate[item.target(row) * 2 * D + channel] = sum / static_cast<T>(item.block.cols);
          else
            a.row_partial[(item.row_partial + row) * D + channel] = sum;
        },
        [&](std::int32_t col, int channel, T sum) {
          if (item.column_partial < 0)
            a.aggregate[item.source(col) * 2 * D + D + channel] = sum / static_cast<T>(item.block.rows);
          else
            a.column_partial[(item.column_partial + col) * D + channel] = sum;
        });
    zero_ends<D>(item, a.aggregate);
  }
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
