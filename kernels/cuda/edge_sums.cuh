#pragma once

// What both passes of the message layer do around their products: the layer norm of a slot, and sums over the slots of
// a row, a column and a network.

#include <cmath>

#include "kernels/cuda/edge_plan.cuh"
#include "kernels/cuda/edge_tile.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr double kEdgeNormEpsilon = 1e-5;

/// Layer norm of a slot, in place; returns the inverse deviation.
template <int D, class T>
__device__ __forceinline__ T normalise(Channels<T, D>& z) {
  T sum = T(0), squares = T(0);
#pragma unroll
  for (int c = 0; c < D / 4; ++c) sum += z[c];
  const T mean = slot_sum(sum) / static_cast<T>(D);
#pragma unroll
  for (int c = 0; c < D / 4; ++c) {
    z[c] -= mean;
    squares += z[c] * z[c];
  }
  const T inverse = T(1) / std::sqrt(slot_sum(squares) / static_cast<T>(D) + static_cast<T>(kEdgeNormEpsilon));
#pragma unroll
  for (int c = 0; c < D / 4; ++c) z[c] *= inverse;
  return inverse;
}

/// Sums that a thread keeps over many rounds: in registers or, where those are too few, in memory
/// (device or shared) that only it uses.
template <class T, int Count, bool InMemory>
struct KeptSums {
  T value[Count];
  __device__ explicit KeptSums(T*) {}
  __device__ __forceinline__ T& operator[](int i) { return value[i]; }
};
template <class T, int Count>
struct KeptSums<T, Count, true> {
  T* value;
  __device__ explicit KeptSums(T* memory) : value(memory + threadIdx.x) {}
  __device__ __forceinline__ T& operator[](int i) { return value[i * kThreads]; }
};

/// Where a lane's two slots are in a round of an item.
struct SlotPlace {
  bool inside;
  std::int64_t edge, target, source;  // rows of the tensors
  std::int32_t row;                   // of the item

  __device__ SlotPlace(const EdgeItem& item, const SlotLayout& layout, const LanePlace& at, int half,
                       std::int32_t first_row) {
    row = first_row + layout.row(at.warp, at.slot(half));
    const std::int32_t col = layout.col(at.warp, at.slot(half));
    inside = row < item.rows && col < item.cols;
    edge = item.edge(row, col);
    target = item.target(row);
    source = item.source(col);
  }
};

/// Where the D elements of a row's or a column's sum go: to[channel] = (sum + to[channel] if `add`) / count.
template <class T>
struct SumPlace {
  T* to;  // null: nowhere
  bool add;
  T count;

  __device__ __forceinline__ void store(int channel, T sum) const {
    to[channel] = (add ? sum + to[channel] : sum) / count;
  }
};

/// Sums over the slots that share a row, half by half. Rows as wide as a warp's tile: spread over the lanes, into the D
/// elements of `warp_sums`, to be added over the warps; else complete, to the SumPlace `place(half)`. `across` is that
/// of SlotLayout.
template <class T, int D>
struct RowSum {
  Channels<T, D> value;

  /// To be called for half 0 and then 1, which add to `value` in between.
  __device__ __forceinline__ void begin(std::int32_t across, int half) {
    if (half == 0 || across != kSlots)
#pragma unroll
      for (int c = 0; c < D / 4; ++c) value[c] = T(0);
  }
  template <class Place>
  __device__ __forceinline__ void end(std::int32_t across, const LanePlace& at, int half, T* warp_sums,
                                      const Place& place) {
    if (across == kSlots) {
      if (half == 0) return;
      SpreadSum<D>::run(value);
      if (SpreadSum<D>::writes(at.g))
#pragma unroll
        for (int k = 0; k < SpreadSum<D>::kKept; ++k) warp_sums[at.channel(SpreadSum<D>::first(at.g) + k)] = value[k];
      return;
    }
    for (int lane_bit = 4; lane_bit < 4 * across; lane_bit *= 2)
#pragma unroll
      for (int c = 0; c < D / 4; ++c) value[c] += __shfl_xor_sync(kAllLanes, value[c], lane_bit);
    if (at.g % across != 0) return;
    const SumPlace<T> to = place(half);
    if (!to.to) return;
#pragma unroll
    for (int c = 0; c < D / 4; ++c) to.store(at.channel(c), value[c]);
  }
};

/// After a barrier: sums over the warps side by side of what RowSum put in `warps`, D elements of each, to
/// place(row of the round).
template <int D, class T, class Place>
__device__ __forceinline__ void add_warps(const SlotLayout& layout, const T* warps, const Place& place) {
  if (layout.across != kSlots) return;
  for (int i = static_cast<int>(threadIdx.x); i < layout.warp_rows * D; i += kThreads) {
    const int row = i / D, channel = i % D;
    T sum = T(0);
    for (int tile = 0; tile < layout.tiles; ++tile) sum += warps[(row * layout.tiles + tile) * D + channel];
    const SumPlace<T> to = place(row);
    if (to.to) to.store(channel, sum);
  }
}

/// Puts value(half, c) of the warp's slots into `tile`.
template <int D, class T, class Value>
__device__ __forceinline__ void put_columns(const SlotLayout& layout, const LanePlace& at, T* tile,
                                            const Value& value) {
  using Rows = RowTile<T, D>;
  if (at.warp < layout.active_warps)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      write_channels<D>(Rows::row(tile, at.warp * kSlots + at.slot(half)), at.q, [&](int c) { return value(half, c); });
}

/// Adds what is in `tile` of the slots that share a column, to place(col of the item). All threads of the block must
/// call it; `tile` is in use until the next barrier.
template <int D, class T, class Place>
__device__ __forceinline__ void add_columns(const EdgeItem& item, const SlotLayout& layout, const T* tile,
                                            const Place& place) {
  using Rows = RowTile<T, D>;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < item.cols * D; i += kThreads) {
    const int col = i / D, channel = i % D;
    T sum = T(0);
    for (int row = 0; row < layout.warp_rows; ++row)
      for (int slot = col % layout.across; slot < kSlots; slot += layout.across)
        sum += Rows::row(tile, (row * layout.tiles + col / layout.across) * kSlots + slot)[channel];
    place(col).store(channel, sum);
  }
}

/// Hands out pieces of the workspace, each aligned for 16-byte accesses; without memory it counts.
class WorkspaceLayout {
 public:
  explicit WorkspaceLayout(unsigned char* memory) : memory_(memory) {}
  template <class T>
  T* take(std::int64_t count) {
    T* piece = memory_ ? reinterpret_cast<T*>(memory_ + bytes_) : nullptr;
    bytes_ += ceil_div(count * static_cast<std::int64_t>(sizeof(T)), 16) * 16;
    return piece;
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  unsigned char* memory_;
  std::int64_t bytes_ = 0;
};

inline EdgePlan take_plan(WorkspaceLayout& layout, const BlockTable& table) {
  return {.item_block = layout.take<std::int32_t>(max_items(table)),
          .item_first = layout.take<std::int32_t>(table.block_count + 1),
          .row_first = layout.take<std::int64_t>(table.block_count),
          .column_first = layout.take<std::int64_t>(table.block_count)};
}

/// What `place(layout)` returns, if anything, when its pieces lie in the stream's workspace.
template <class Place>
auto in_workspace(Stream stream, const Place& place) {
  WorkspaceLayout count(nullptr);
  place(count);
  WorkspaceLayout layout(workspace<unsigned char>(stream, count.bytes()));
  return place(layout);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
