#pragma once

// A warp's tile of 16 edges x D channels in registers. With g = lane / 4 and q = lane % 4, a lane holds slots g and
// g + 8, and of each the channels 16 i + 4 q + j (i < D / 16, j < 4): 16-byte pieces of a row, four lanes side by side.
// That is also how tensor cores hold operands and results when the channels within each 16 are renamed (position 2 q +
// b is channel 4 q + b, position 8 + 2 q + b is 4 q + 2 + b), so a product's result is the next one's operand.

#include "kernels/cuda/edge_plan.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/tensor_core.cuh"
#include "kernels/precision.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// Four neighbours that are read and written at once.
template <class T>
struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) Four {
  T value[4];
};

/// The channels of one slot that a lane holds.
template <class T, int D>
using Channels = T[D / 4];
/// Those of both its slots.
template <class T, int D>
using Tile = T[2][D / 4];

struct LanePlace {
  int warp, g, q;

  __device__ LanePlace()
      : warp(static_cast<int>(threadIdx.x) / kWarp),
        g(static_cast<int>(threadIdx.x) % kWarp / 4),
        q(static_cast<int>(threadIdx.x) % 4) {}
  __device__ int slot(int half) const { return g + 8 * half; }
  /// The channel of element c.
  __device__ int channel(int c) const { return c / 4 * 16 + 4 * q + c % 4; }
};

/// Calls body(c, values) for the fours of a row of D elements that are this lane's; `values` holds elements c .. c + 3.
template <int D, class S, class Body>
__device__ __forceinline__ void read_channels(const S* row, int q, const Body& body) {
#pragma unroll
  for (int i = 0; i < D / 16; ++i) {
    const Four<S> four = *reinterpret_cast<const Four<S>*>(row + 16 * i + 4 * q);
#pragma unroll
    for (int j = 0; j < 4; ++j) body(4 * i + j, four.value[j]);
  }
}

/// row[channel(c)] = value(c) for this lane's channels.
template <int D, class S, class Value>
__device__ __forceinline__ void write_channels(S* row, int q, const Value& value) {
#pragma unroll
  for (int i = 0; i < D / 16; ++i) {
    Four<S> four;
#pragma unroll
    for (int j = 0; j < 4; ++j) four.value[j] = static_cast<S>(value(4 * i + j));
    *reinterpret_cast<Four<S>*>(row + 16 * i + 4 * q) = four;
  }
}

/// Starts to bring a row of D elements in device memory nearer; by the four lanes of a slot.
template <int D, class S>
__device__ __forceinline__ void prefetch_row([[maybe_unused]] const S* row, [[maybe_unused]] int q) {
#ifdef __CUDACC__
  constexpr int kLine = 128 / sizeof(S);
  if (q * kLine < D) asm volatile("prefetch.global.L2 [%0];" ::"l"(row + q * kLine));
#endif
}

/// The sum over the four lanes of a slot.
template <class T>
__device__ __forceinline__ T slot_sum(T value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}

/// Adds over the lanes with the other value of one bit of the lane number and keeps half of the channels, of which
/// value[0 .. N / 2) are left.
template <int N, class T>
__device__ __forceinline__ void add_half(T* value, int lane_bit) {
  const bool upper = (threadIdx.x & static_cast<unsigned>(lane_bit)) != 0;
#pragma unroll
  for (int i = 0; i < N / 2; ++i) {
    const T send = upper ? value[i] : value[i + N / 2], keep = upper ? value[i + N / 2] : value[i];
    value[i] = keep + __shfl_xor_sync(kAllLanes, send, lane_bit);
  }
}

/// Sums over the eight g of a warp, spread over its lanes: a lane is left with kKept elements in value[0 ..], the first
/// of them element `first(g)` of the lane's q.
template <int D>
struct SpreadSum {
  static constexpr int kEach = D / 4;
  static constexpr int kKept = kEach / 8 > 0 ? kEach / 8 : 1;

  template <class T>
  __device__ static __forceinline__ void run(T* value) {
    add_half<kEach>(value, 16);
    add_half<kEach / 2>(value, 8);
    if constexpr (kEach >= 8)
      add_half<kEach / 4>(value, 4);
    else
      value[0] += __shfl_xor_sync(kAllLanes, value[0], 4);
  }
  __device__ static __forceinline__ int first(int g) {
    const int first = (g & 4 ? kEach / 2 : 0) + (g & 2 ? kEach / 4 : 0);
    return kEach >= 8 ? first + (g & 1 ? kEach / 8 : 0) : first;
  }
  /// Whether this lane is the one to write what it keeps.
  __device__ static __forceinline__ bool writes(int g) { return kEach >= 8 || g % 2 == 0; }
};

/// Rows of a block's slots in shared memory, D elements of one each, padded by 16 bytes: the eight rows that a warp
/// reads or writes at a time lie in different banks.
template <class T, int D>
struct RowTile {
  static constexpr int kStride = D + 4;
  static constexpr int kElements = kSlots * kEdgeWarps * kStride;

  template <class Element>
  __device__ static __forceinline__ Element* row(Element* tile, int slot) {
    return tile + slot * kStride;
  }
  /// Puts the warp's 16 slots in.
  __device__ static __forceinline__ void put(T* tile, const LanePlace& at, const Tile<T, D>& value) {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      write_channels<D>(row(tile, at.warp * kSlots + at.slot(half)), at.q, [&](int c) { return value[half][c]; });
  }
};

/// result[slot, n] += sum_k operand[slot, k] matrix[k, n], exact: the operand is read from the warp's rows of a
/// RowTile, four lanes the same one, the matrix (D, D) from memory, eight lanes the same piece. Terms in the order of
/// k.
template <class T, int D>
__device__ __forceinline__ void multiply_exact(const T* tile, const LanePlace& at, const T* matrix,
                                               Tile<T, D>& result) {
  using Rows = RowTile<T, D>;
  const T* upper = tile + (at.warp * kSlots + at.g) * Rows::kStride;
  const T* lower = upper + 8 * Rows::kStride;
#pragma unroll 1
  for (int k = 0; k < D; k += 4) {
    const Four<T> a = *reinterpret_cast<const Four<T>*>(upper + k), b = *reinterpret_cast<const Four<T>*>(lower + k);
#pragma unroll
    for (int j = 0; j < 4; ++j)
      read_channels<D>(matrix + (k + j) * D, at.q, [&](int c, T weight) {
        result[0][c] += a.value[j] * weight;
        result[1][c] += b.value[j] * weight;
      });
  }
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
