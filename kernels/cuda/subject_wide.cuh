#pragma once

// Subject networks that do not fit shared memory: their layers lie in device memory, and products go through panels of
// 64 x 16 elements. A block of 256 threads forms 64 x 64 results, 4 x 4 a thread, each a sum in the order of its terms.
// Blocks are as many as the device runs at a time and walk over the networks; those that stay on chip are skipped.

#include "kernels/cuda/subject_tile.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr int kWideTile = 64, kWideDepth = 16;

template <class T>
struct WidePanels {
  // Whole quads, and rows that begin in different banks.
  alignas(16) T a[kWideDepth][kWideTile + 4], b[kWideDepth][kWideTile + 4];
};

/// In which direction neighbouring elements of an operand are neighbours in memory.
enum class Along { terms, results };

template <Along kAlong, class T, class Load>
__device__ inline void load_panel(T (*panel)[kWideTile + 4], int extent, std::int64_t term, std::int64_t depth,
                                  const Load& load) {
  for (int e = static_cast<int>(threadIdx.x); e < kWideTile * kWideDepth; e += kThreads) {
    const int l = kAlong == Along::terms ? e % kWideDepth : e / kWideTile;
    const int i = kAlong == Along::terms ? e / kWideDepth : e % kWideTile;
    panel[l][i] = i < extent && term + l < depth ? load(i, term + l) : T(0);
  }
}

/// Calls `store(i, j, sum)` with sum.value[k] = sum_l a(i, l) b(j + k, l) for i < rows, j < columns a multiple of 4;
/// rows and columns at most kWideTile. All threads of the block call it; the panels are free when it returns.
template <class T, Along kAlongA, Along kAlongB, class A, class B, class Store>
__device__ void wide_product(int rows, int columns, std::int64_t depth, const A& a, const B& b, const Store& store) {
  WidePanels<T>& panels = shared_memory<WidePanels<T>>();
  constexpr int kAcross = kWideTile / 4;
  const int i = 4 * (static_cast<int>(threadIdx.x) / kAcross), j = 4 * (static_cast<int>(threadIdx.x) % kAcross);
  Quad<T> sum[4] = {};
  for (std::int64_t term = 0; term < depth; term += kWideDepth) {
    load_panel<kAlongA>(panels.a, rows, term, depth, a);
    load_panel<kAlongB>(panels.b, columns, term, depth, b);
    __syncthreads();
    multiply_columns(&panels.a[0][i], kWideTile + 4, &panels.b[0][j], kWideTile + 4, kWideDepth, sum);
    __syncthreads();
  }
  if (j >= columns) return;
#pragma unroll
  for (int e = 0; e < 4; ++e)
    if (i + e < rows) store(i + e, j, sum[e]);
}

/// Rows of weights W (out, in) from row `first` on.
template <class T>
struct WeightRows {
  const T* weight;
  int first, in;
  __device__ T operator()(int j, std::int64_t l) const { return weight[std::int64_t{first + j} * in + l]; }
};

/// Blocks (x, y): x walks over networks, y over row tiles.
inline dim3 wide_grid(const DeviceLimits& limits, std::int64_t networks, std::int64_t tiles) {
  constexpr int kBlocksEach = 2;  // of a multiprocessor
  const std::int64_t all = std::int64_t{limits.multiprocessors} * kBlocksEach;
  dim3 grid = grid_of(networks < all ? networks : all);
  grid.y = row_blocks(limits, networks, tiles, kBlocksEach);
  return grid;
}
inline std::int64_t blocks_of(const dim3& grid) { return std::int64_t{grid.x} * grid.y; }
__device__ inline std::int64_t block_index() { return blockIdx.y * std::int64_t{gridDim.x} + blockIdx.x; }

/// `scratch`: kWideTile rows of the largest network's hidden layers for every block, null when activations are kept.
template <class T, class Mine>
__global__ void __launch_bounds__(kThreads) forward_wide_kernel(SubjectPass<T> a, int hidden, T* scratch, Mine mine) {
  if (scratch) scratch += block_index() * kWideTile * hidden;
  for (int b = static_cast<int>(blockIdx.x); b < a.table.network_count; b += static_cast<int>(gridDim.x)) {
    const SubjectNetwork net(a.table, b);
    if (!mine(net)) continue;
    for (std::int64_t first = blockIdx.y * std::int64_t{kWideTile}; first < a.rows;
         first += gridDim.y * std::int64_t{kWideTile}) {
      const int count = static_cast<int>(a.rows - first < kWideTile ? a.rows - first : kWideTile);
      const T* source = nullptr;
      T* next = scratch;
      for (int l = 0; l < net.layers; ++l) {
        const int out = net.block[l].rows, in = net.block[l].cols;
        const bool last = l + 1 == net.layers;
        T* target = last           ? a.logits + (b * a.rows + first) * a.classes
                    : a.activation ? net.hidden(a.activation, l, a.rows) + first * out
                                   : next;
        T* slopes = last || !a.slope ? nullptr : net.hidden(a.slope, l, a.rows) + first * out;
        if (!last && scratch) next += kWideTile * out;
        const T *weight = a.weight + net.block[l].edge_offset, *bias = a.bias + net.block[l].target_offset;
        const std::int32_t activation = net.network.activation;
        const bool aligned = in_quads(target, out) && in_quads(slopes, out);
        for (int c = 0; c < out; c += kWideTile) {
          const int columns = out - c < kWideTile ? out - c : kWideTile;
          const auto store = [&](int i, int j, Quad<T> y) {
            Quad<T> d{};
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              if (c + j + k < out) y.value[k] += bias[c + j + k];
              if (!last) y.value[k] = activate(activation, y.value[k], d.value[k]);
            }
            write_quad(target + std::int64_t{i} * out, c + j, out, aligned, y);
            if (slopes) write_quad(slopes + std::int64_t{i} * out, c + j, out, aligned, d);
          };
          const WeightRows<T> rows_of_weight{weight, c, in};
          if (l == 0)
            wide_product<T, Along::terms, Along::terms>(
                count, columns, in,
                [&](int i, std::int64_t k) {
                  const T* row = a.input_row(b, first + i);
                  return row ? row[k] : not_a_number<T>();
                },
                rows_of_weight, store);
          else
            wide_product<T, Along::terms, Along::terms>(
                count, columns, in, [&](int i, std::int64_t k) { return source[std::int64_t{i} * in + k]; },
                rows_of_weight, store);
        }
        __syncthreads();  // the layer is there for all threads
        source = target;
      }
    }
  }
}

/// The forward pass of the networks that `mine(net)` picks.
template <class T, class Mine>
void forward_wide(const SubjectPass<T>& a, const LargestNetwork& most, const DeviceLimits& limits, const Mine& mine,
                  Stream stream) {
  const dim3 grid = wide_grid(limits, a.table.network_count, ceil_div(a.rows, kWideTile));
  T* scratch = a.activation ? nullptr : workspace<T>(stream, blocks_of(grid) * kWideTile * most.hidden);
  launch(forward_wide_kernel<T, Mine>, grid, dim3(kThreads), 0, stream, a, most.hidden, scratch, mine);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
