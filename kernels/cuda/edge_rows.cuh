#pragma once

// Products over tiles of edges whose rows lie in shared memory, for small per-edge networks. A thread owns some edges:
// it reads their rows and the weights four numbers at a time, the weights being the same address for all lanes, and
// keeps sums in registers. Gradients of weights are sums over the edges of a tile: a warp does eight 4 x 4 pieces of
// the result at a time, four groups of lanes taking every fourth edge each.

#include "kernels/cuda/quad.cuh"
#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// Whole quads for `count` elements.
__host__ __device__ constexpr std::int32_t quads_of(std::int64_t count) {
  return static_cast<std::int32_t>((count + 3) / 4);
}
/// Distance of rows of `count` elements in shared memory: eight neighbouring rows have their quads in different banks.
__host__ __device__ constexpr std::int32_t row_stride(std::int64_t count) {
  const std::int32_t quads = quads_of(count);
  return 4 * (quads % 2 ? quads : quads + 1);
}

/// Elements of (rows, width) that a thread takes, every `threads`-th in memory order, without dividing for each.
struct Walk {
  std::int32_t width, row, column, row_step, column_step;

  __device__ Walk(std::int32_t width_, std::int32_t thread, std::int32_t threads)
      : width(width_),
        row(thread / width_),
        column(thread - row * width_),
        row_step(threads / width_),
        column_step(threads - row_step * width_) {}
  __device__ void next() {
    row += row_step;
    column += column_step;
    if (column >= width) {
      column -= width;
      ++row;
    }
  }
};

/// tile[row * stride + column] = from[row * width + column] for `rows` rows, four loads in flight a thread: of quads
/// where rows consist of them, so that enough bytes are on their way. The tile's rows begin on quads.
template <class S, class T>
__device__ __forceinline__ void stage_rows(const S* from, std::int32_t rows, std::int32_t width, T* tile,
                                           std::int32_t stride, std::int32_t thread, std::int32_t threads) {
  if (width == 0) return;
  constexpr int kFlight = 4;
  if (width % 4 == 0 && reinterpret_cast<std::uintptr_t>(from) % alignof(Quad<S>) == 0 &&
      reinterpret_cast<std::uintptr_t>(tile) % alignof(Quad<T>) == 0) {
    Walk walk(width / 4, thread, threads);
    const std::int32_t count = rows * (width / 4);
    for (std::int32_t i = thread; i < count; i += kFlight * threads) {
      Quad<S> quad[kFlight] = {};
#pragma unroll
      for (int k = 0; k < kFlight; ++k)
        if (i + k * threads < count) quad[k] = load_quad(from + 4 * (i + k * threads));
#pragma unroll
      for (int k = 0; k < kFlight; ++k) {
        T value[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) value[j] = static_cast<T>(quad[k].value[j]);
        if (i + k * threads < count) store_quad(tile + walk.row * stride + 4 * walk.column, value);
        walk.next();
      }
    }
    return;
  }
  Walk walk(width, thread, threads);
  const std::int32_t count = rows * width;
  for (std::int32_t i = thread; i < count; i += kFlight * threads) {
    T value[kFlight];
#pragma unroll
    for (int k = 0; k < kFlight; ++k) value[k] = i + k * threads < count ? static_cast<T>(from[i + k * threads]) : T(0);
#pragma unroll
    for (int k = 0; k < kFlight; ++k) {
      if (i + k * threads < count) tile[walk.row * stride + walk.column] = value[k];
      walk.next();
    }
  }
}

/// to[row * width + column] (= or += when `add`) tile[row * stride + column].
template <class T>
__device__ __forceinline__ void unstage_rows(const T* tile, std::int32_t stride, std::int32_t rows, std::int32_t width,
                                             bool add, T* to, std::int32_t thread, std::int32_t threads) {
  Walk walk(width, thread, threads);
  for (std::int32_t i = thread; i < rows * width; i += threads) {
    const T value = tile[walk.row * stride + walk.column];
    to[i] = add ? to[i] + value : value;
    walk.next();
  }
}

/// A matrix of weights (depth, width) in memory, in one piece or in two: along the depth or along the width, what lies
/// beyond `split` is in `second`. Element (l, n) of a piece is at l * depth_step + n * width_step.
template <class T>
struct Factor {
  struct Piece {
    const T* data;
    std::int32_t depth_step, width_step;
  };
  Piece first, second;
  std::int32_t split;
  bool split_depth;
  std::int32_t depth, width;
  T* shared;            // a copy with zeros around it, or null
  std::int32_t stride;  // of the copy's rows

  __device__ T at(std::int32_t l, std::int32_t n) const {
    if (l >= depth || n >= width) return T(0);
    const std::int32_t beyond = (split_depth ? l : n) - split;
    if (beyond < 0) return first.data[l * first.depth_step + n * first.width_step];
    return split_depth ? second.data[beyond * second.depth_step + n * second.width_step]
                       : second.data[l * second.depth_step + beyond * second.width_step];
  }
  /// Elements of a copy whose rows are `row` long.
  static std::int64_t room(std::int64_t depth, std::int64_t row) { return 4 * quads_of(depth) * row; }
  /// Fills the copy; all threads of the block.
  __device__ void load() const {
    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < 4 * quads_of(depth) * stride;
         i += static_cast<std::int32_t>(blockDim.x))
      shared[i] = at(i / stride, i % stride);
  }
};

/// Rows of a matrix that are in shared memory at a time where it has no copy there.
inline constexpr std::int32_t kSlabDepth = 32;

/// sum[e][n] += sum_l row_e[l] factor(l, chunk * N + n), row e at row + e * edge_step. Without a copy of the factor all
/// threads of the block must call it: they pass its rows through `slab` (kSlabDepth, N). A thread that is not `active`
/// has no edges and leaves its sums alone.
template <int N, int E, class T>
__device__ __forceinline__ void multiply(const Factor<T>& factor, std::int32_t chunk, const T* row,
                                         std::int32_t edge_step, T* slab, bool active, T (&sum)[E][N]) {
  const std::int32_t depth = 4 * quads_of(factor.depth), step = factor.shared ? depth : kSlabDepth;
#pragma unroll 1
  for (std::int32_t begin = 0; begin < depth; begin += step) {
    const std::int32_t part = depth - begin < step ? depth - begin : step;
    const T* weight = slab;
    std::int32_t stride = N;
    if (factor.shared) {
      weight = factor.shared + chunk * N;
      stride = factor.stride;
    } else {
      __syncthreads();
      for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < part * N;
           i += static_cast<std::int32_t>(blockDim.x))
        slab[i] = factor.at(begin + i / N, chunk * N + i % N);
      __syncthreads();
    }
#pragma unroll 1
    for (std::int32_t l = 0; active && l < part; l += 4) {
      Quad<T> x[E];
#pragma unroll
      for (int e = 0; e < E; ++e) x[e] = load_quad(row + e * edge_step + begin + l);
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int n = 0; n < N; n += 4) {
          const Quad<T> w = load_quad(weight + (l + j) * stride + n);
#pragma unroll
          for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int e = 0; e < E; ++e) sum[e][n + i] += x[e].value[j] * w.value[i];
        }
    }
  }
}

/// Calls add(i, j, sum over p < count of left[p * left_stride + i] right[p * right_stride + j]) for i < 4 left_quads
/// and j < 4 right_quads, every pair by the same thread in every call. All threads of the block call it.
template <class T, class Add>
__device__ __forceinline__ void add_products(const T* left, std::int32_t left_stride, std::int32_t left_quads,
                                             const T* right, std::int32_t right_stride, std::int32_t right_quads,
                                             std::int32_t count, const Add& add) {
  constexpr std::int32_t kPieces = 8, kGroups = kWarp / kPieces;
  const auto thread = static_cast<std::int32_t>(threadIdx.x), threads = static_cast<std::int32_t>(blockDim.x);
  const std::int32_t lane = thread % kWarp, group = lane / kPieces, pieces = left_quads * right_quads;
  for (std::int32_t first = thread / kWarp * kPieces; first < pieces; first += threads / kWarp * kPieces) {
    const std::int32_t piece = first + lane % kPieces, i = piece < pieces ? piece / right_quads : 0,
                       j = piece < pieces ? piece - i * right_quads : 0;
    T sum[4][4] = {};
#pragma unroll 2
    for (std::int32_t p = group; p < count; p += kGroups) {
      const Quad<T> l = load_quad(left + p * left_stride + 4 * i), r = load_quad(right + p * right_stride + 4 * j);
#pragma unroll
      for (int a = 0; a < 4; ++a)
#pragma unroll
        for (int b = 0; b < 4; ++b) sum[a][b] += l.value[a] * r.value[b];
    }
    // A group is left with the sums of one of the four rows.
    const bool upper = group & 2, odd = group & 1;
    T own[4];
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      T half[2];
#pragma unroll
      for (int a = 0; a < 2; ++a) {
        const T send = upper ? sum[a][b] : sum[a + 2][b], keep = upper ? sum[a + 2][b] : sum[a][b];
        half[a] = keep + __shfl_xor_sync(kAllLanes, send, 2 * kPieces);
      }
      own[b] = (odd ? half[1] : half[0]) + __shfl_xor_sync(kAllLanes, odd ? half[0] : half[1], kPieces);
    }
    if (piece >= pieces) continue;
#pragma unroll
    for (int b = 0; b < 4; ++b) add(4 * i + group, 4 * j + b, own[b]);
  }
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
