#pragma once

// The D x D products of the message layer in each precision: of a warp's tile with a matrix, and of two tiles of the
// whole block with each other, summed over edges (a gradient of a weight).

#include <bit>

#include "kernels/cuda/edge_tile.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// The four matrices M of the products operand[slot, k] M[k, n]: a forward pass reads the first two, a backward pass
/// the last three.
enum EdgeMatrix : int { kToUpdate, kToState, kFromUpdate, kFromState, kEdgeMatrices };

/// Matrices that together are larger than this stay in memory, where the L1 cache serves them.
inline constexpr std::size_t kMatrixSharedBytes = 64 << 10;

/// What the products of precision P read. Those with kFromTile take their operand from shared memory, others from
/// registers.
template <class T, int D, Precision P>
struct EdgeProduct;

template <class T, int D>
struct EdgeProduct<T, D, Precision::float32> {
  using Stored = T;
  using Word = T;
  static constexpr bool kFromTile = true;
  static constexpr int kStride = RowTile<T, D>::kStride, kTileWords = RowTile<T, D>::kElements;
  static constexpr int kSums = D * D / kThreads;  // of a thread in a (D, D) result of the block
  static constexpr int kPatch = D / 16;           // they are kPatch rows times kPatch columns
  static constexpr int kPasses = D > 64 ? 2 : 1;  // over the tiles, each for some of the rows
  static constexpr int kPassRows = kPatch / kPasses;

  /// Where M[k, n] is stored, given its place in the order of storage; and M's element in that form.
  __device__ static void place(int index, int* k, int* n) {
    *k = index / D;
    *n = index % D;
  }
  __device__ static Stored store(T value) { return value; }

  __device__ static __forceinline__ void put(Word* tile, const LanePlace& at, const Tile<T, D>& value) {
    RowTile<T, D>::put(tile, at, value);
  }
  __device__ static __forceinline__ void multiply(const Word* tile, const LanePlace& at, const Tile<T, D>&,
                                                  const Stored* matrix, Tile<T, D>& result) {
    multiply_exact<T, D>(tile, at, matrix, result);
  }

  /// Row and column of sum i of a thread; false: it has none.
  __device__ static __forceinline__ bool place_of_sum(int thread, int i, int* row, int* column) {
    *row = thread / 16 * kPatch + i / kPatch;
    *column = thread % 16 * kPatch + i % kPatch;
    return true;
  }
  /// to[row] = the sum over a row of value(i), given for the thread's sums, as far as they are this warp's. By all
  /// threads.
  template <class Value>
  __device__ static __forceinline__ void sum_rows(int thread, const Value& value, T* to) {
#pragma unroll(kPasses == 1 ? kPatch : 1)  // of several passes sums are in memory
    for (int r = 0; r < kPatch; ++r) {
      T sum = T(0);
#pragma unroll
      for (int c = 0; c < kPatch; ++c) sum += value(r * kPatch + c);
#pragma unroll
      for (int lane_bit = 1; lane_bit < 16; lane_bit *= 2) sum += __shfl_xor_sync(kAllLanes, sum, lane_bit);
      if (thread % 16 == 0) to[thread / 16 * kPatch + r] = sum;
    }
  }
  /// sum[row, column] += sum over the slots of `warps` warps of a[slot, row] b[slot, column], in the order of slots.
  __device__ static __forceinline__ void add_outer(const Word* a, const Word* b, int warps, int pass,
                                                   T (&sum)[kSums / kPasses]) {
    const Word* left = a + static_cast<int>(threadIdx.x) / 16 * kPatch + pass * kPassRows;
    const Word* right = b + static_cast<int>(threadIdx.x) % 16 * kPatch;
#pragma unroll 2
    for (int slot = 0; slot < warps * kSlots; ++slot) {
      T x[kPassRows], y[kPatch];
      read(left + slot * kStride, x);
      read(right + slot * kStride, y);
#pragma unroll
      for (int i = 0; i < kPassRows * kPatch; ++i) sum[i] += x[i / kPatch] * y[i % kPatch];
    }
  }

 private:
  template <int N>
  __device__ static __forceinline__ void read(const T* from, T (&to)[N]) {
    if constexpr (N % 4 == 0) {
#pragma unroll
      for (int i = 0; i < N; i += 4) {
        const Four<T> four = *reinterpret_cast<const Four<T>*>(from + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) to[i + j] = four.value[j];
      }
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i) to[i] = from[i];
    }
  }
};

/// What both tensor core precisions share: matrices lie in the order in which the lanes read them, 4 elements at a
/// time: fragment (n / 8, k / 16), then lane, then the lane's four k.
template <int D>
struct TensorLayout {
  static constexpr int kTiles = D / 16 * (D / 8);  // 16 x 8 pieces of a (D, D) result
  static constexpr int kWarpTiles = kTiles > kEdgeWarps ? kTiles / kEdgeWarps : 1;
  static constexpr int kSums = 4 * kWarpTiles;
  static constexpr int kPasses = kWarpTiles > 4 ? kWarpTiles / 4 : 1;  // over the tiles of the block
  static constexpr int kPassTiles = kWarpTiles / kPasses;
  static constexpr int kStride = D + 8;  // in words of 4 bytes: four rows of eight words lie in different banks

  __device__ static void place(int index, int* k, int* n) {
    const int j = index % 4, lane = index / 4 % kWarp, group = index / (4 * kWarp), i = group % (D / 16),
              column_tile = group / (D / 16), g = lane / 4;
    *k = 16 * i + 4 * (lane % 4) + j;
    *n = column_tile / 2 * 16 + g / 2 * 4 + column_tile % 2 * 2 + g % 2;
  }
  __device__ static __forceinline__ bool place_of_sum(int thread, int i, int* row, int* column) {
    const int lane = thread % kWarp, tile = tile_of_sum(thread, i);
    *row = tile / (D / 8) * 16 + i % 4 / 2 * 8 + lane / 4;
    *column = tile % (D / 8) * 8 + lane % 4 * 2 + i % 2;
    return tile < kTiles;
  }
  /// As above; the tiles of a warp lie side by side.
  template <class T, class Value>
  __device__ static __forceinline__ void sum_rows(int thread, const Value& value, T* to) {
    static_assert(D / 8 % kWarpTiles == 0);
    const int lane = thread % kWarp, first = tile_of_sum(thread, 0);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      T sum = T(0);
#pragma unroll(kPasses == 1 ? kWarpTiles : 1)
      for (int tile = 0; tile < kWarpTiles; ++tile) sum += value(4 * tile + 2 * half) + value(4 * tile + 2 * half + 1);
      sum = slot_sum(sum);
      if (lane % 4 == 0 && first < kTiles) to[first / (D / 8) * 16 + 8 * half + lane / 4] = sum;
    }
  }
  __device__ static __forceinline__ int tile_of_sum(int thread, int i) { return thread / kWarp * kWarpTiles + i / 4; }
};

template <int D>
struct EdgeProduct<float, D, Precision::bf16> : TensorLayout<D> {
  using Layout = TensorLayout<D>;
  using Stored = std::uint16_t;
  using Word = std::uint32_t;  // slots g and g + 8 of a warp, one channel
  static constexpr bool kFromTile = false;
  static constexpr int kStride = Layout::kStride, kTileWords = kSlots * kEdgeWarps / 2 * kStride;
  static constexpr int kSums = Layout::kSums, kPasses = Layout::kPasses;

  __device__ static Stored store(float value) { return static_cast<Stored>(pack_bf16(value, 0.0f) & 0xffffu); }

  __device__ static __forceinline__ void put(Word* tile, const LanePlace& at, const Tile<float, D>& value) {
    write_channels<D>(tile + (at.warp * 8 + at.g) * kStride, at.q,
                      [&](int c) { return pack_bf16(value[0][c], value[1][c]); });
  }
  __device__ static __forceinline__ void multiply(const void*, const LanePlace&, const Tile<float, D>& operand,
                                                  const Stored* matrix, Tile<float, D>& result) {
    __syncwarp();  // lanes without an edge skipped its loads
    const Four<Stored>* lane = reinterpret_cast<const Four<Stored>*>(matrix) + threadIdx.x % kWarp;
    std::uint32_t a[D / 16][4];
#pragma unroll
    for (int i = 0; i < D / 16; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        a[i][half] = pack_bf16(operand[half][4 * i], operand[half][4 * i + 1]);
        a[i][half + 2] = pack_bf16(operand[half][4 * i + 2], operand[half][4 * i + 3]);
      }
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
#pragma unroll
      for (int i = 0; i < D / 16; ++i) {
        const auto b = std::bit_cast<Pair>(lane[(n * (D / 16) + i) * kWarp]);
        multiply_bf16(result[0][2 * n], result[0][2 * n + 1], result[1][2 * n], result[1][2 * n + 1], a[i], b.word);
      }
  }
  __device__ static __forceinline__ void add_outer(const Word* a, const Word* b, int warps, int pass,
                                                   float (&sum)[kSums / kPasses]) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, at = lane % 4 * kStride + lane / 4;
    if (Layout::tile_of_sum(thread, 0) >= Layout::kTiles) return;
#pragma unroll 1
    for (int pairs = 0; pairs < warps * kSlots / 2; pairs += 8) {
      const Word *left = a + pairs * kStride + at, *right = b + pairs * kStride + at;
#pragma unroll
      for (int tile = 0; tile < Layout::kPassTiles; ++tile) {
        const int index = Layout::tile_of_sum(thread, 4 * (pass * Layout::kPassTiles + tile)),
                  row = index / (D / 8) * 16, column = index % (D / 8) * 8;
        const std::uint32_t x[4] = {left[row], left[row + 8], left[4 * kStride + row], left[4 * kStride + row + 8]};
        const std::uint32_t y[2] = {right[column], right[4 * kStride + column]};
        float* d = sum + 4 * tile;
        multiply_bf16(d[0], d[1], d[2], d[3], x, y);
      }
    }
  }

 private:
  struct Pair {
    std::uint32_t word[2];
  };
};

template <int D>
struct EdgeProduct<float, D, Precision::tf32> : TensorLayout<D> {
  using Layout = TensorLayout<D>;
  using Stored = float;
  using Word = float;
  static constexpr bool kFromTile = D > 64;  // there are no registers for operands beside results
  static constexpr int kStride = Layout::kStride, kTileWords = kSlots * kEdgeWarps * kStride;
  static constexpr int kSums = Layout::kSums, kPasses = Layout::kPasses;

  __device__ static Stored store(float value) { return round_tf32(value); }

  __device__ static __forceinline__ void put(Word* tile, const LanePlace& at, const Tile<float, D>& value) {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      write_channels<D>(tile + (at.warp * kSlots + at.slot(half)) * kStride, at.q,
                        [&](int c) { return round_tf32(value[half][c]); });
  }
  __device__ static __forceinline__ void multiply(const Word* tile, const LanePlace& at, const Tile<float, D>& operand,
                                                  const Stored* matrix, Tile<float, D>& result) {
    if constexpr (!kFromTile) __syncwarp();  // lanes without an edge skipped its loads
    const Four<Stored>* lane = reinterpret_cast<const Four<Stored>*>(matrix) + threadIdx.x % kWarp;
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
      float a[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        Four<float> four;
        if constexpr (kFromTile) {
          const Word* row = tile + (at.warp * kSlots + at.slot(half)) * kStride;
          four = *reinterpret_cast<const Four<float>*>(row + 16 * i + 4 * at.q);
        } else {
#pragma unroll
          for (int j = 0; j < 4; ++j) four.value[j] = round_tf32(operand[half][4 * i + j]);
        }
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          a[step][half] = four.value[2 * step];
          a[step][half + 2] = four.value[2 * step + 1];
        }
      }
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        const Four<Stored> b = lane[(n * (D / 16) + i) * kWarp];
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          const float y[2] = {b.value[2 * step], b.value[2 * step + 1]};
          multiply_tf32(result[0][2 * n], result[0][2 * n + 1], result[1][2 * n], result[1][2 * n + 1], a[step], y);
        }
      }
    }
  }
  __device__ static __forceinline__ void add_outer(const Word* a, const Word* b, int warps, int pass,
                                                   float (&sum)[kSums / kPasses]) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, at = lane % 4 * kStride + lane / 4;
    if (Layout::tile_of_sum(thread, 0) >= Layout::kTiles) return;
#pragma unroll 1
    for (int slot = 0; slot < warps * kSlots; slot += 8) {
      const Word *left = a + slot * kStride + at, *right = b + slot * kStride + at;
#pragma unroll
      for (int tile = 0; tile < Layout::kPassTiles; ++tile) {
        const int index = Layout::tile_of_sum(thread, 4 * (pass * Layout::kPassTiles + tile)),
                  row = index / (D / 8) * 16, column = index % (D / 8) * 8;
        const float x[4] = {left[row], left[row + 8], left[4 * kStride + row], left[4 * kStride + row + 8]};
        const float y[2] = {right[column], right[4 * kStride + column]};
        float* d = sum + 4 * tile;
        multiply_tf32(d[0], d[1], d[2], d[3], x, y);
      }
    }
  }
};

/// Stores the matrices as the products of this precision read them, (kEdgeMatrices, D, D).
template <class T, int D, Precision P>
void prepare_matrices(const T* weight_c, const T* weight_g, typename EdgeProduct<T, D, P>::Stored* prepared,
                      Stream stream) {
  for_elements(std::int64_t{kEdgeMatrices} * D * D, stream, [=] __device__(std::int64_t i) {
    using Product = EdgeProduct<T, D, P>;
    const int which = static_cast<int>(i / (D * D));
    int k, n;
    Product::place(static_cast<int>(i % (D * D)), &k, &n);
    const T* weight = which == kToState || which == kFromState ? weight_c : weight_g;
    const bool forward = which == kToState || which == kToUpdate;
    prepared[i] = Product::store(forward ? weight[n * D + k] : weight[k * D + n]);
  });
}

/// Where a thread block finds `Count` matrices from `First` on: in shared memory, into which it copies them, or in
/// memory.
template <class T, int D, Precision P, int First, int Count, bool MayBeShared = true>
struct BlockMatrices {
  using Stored = typename EdgeProduct<T, D, P>::Stored;
  static constexpr bool kShared = MayBeShared && sizeof(Stored) * Count * D * D <= kMatrixSharedBytes;
  static constexpr std::size_t kBytes = kShared ? sizeof(Stored) * Count * D * D : 0;

  const Stored* matrix;

  /// All threads must call it; a barrier has to follow.
  __device__ BlockMatrices(const Stored* prepared, unsigned char* shared) : matrix(prepared + First * D * D) {
    if constexpr (kShared) {
      constexpr int kFours = static_cast<int>(kBytes / sizeof(Four<float>));
      const auto* from = reinterpret_cast<const Four<float>*>(matrix);
      auto* to = reinterpret_cast<Four<float>*>(shared);
      for (int i = static_cast<int>(threadIdx.x); i < kFours; i += kThreads) to[i] = from[i];
      matrix = reinterpret_cast<const Stored*>(shared);
    }
  }
  __device__ const Stored* operator[](int which) const { return matrix + (which - First) * D * D; }
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
