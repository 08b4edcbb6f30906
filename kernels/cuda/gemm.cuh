#pragma once

// Matrix products in plain float32 or float64: the exact mode, for products that are small beside the memory they read.

#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr int kProductTile = 64;   // rows and columns of a block's tile of the result
inline constexpr int kProductDepth = 16;  // terms of the sum that are in shared memory at a time

/// A matrix that is read with any strides: element (i, j) is data[i * row + j * column].
template <class T>
struct Strided {
  const T* data;
  std::int64_t row, column;
};

/// result[i, j] = start + sum_l a(i, l) b(j, l), with start = bias[j], what is there (`add`), or 0.
template <class T>
struct Product {
  Strided<T> a;   // (rows, depth)
  Strided<T> b;   // (columns, depth)
  const T* bias;  // (columns) or null
  bool add;       // to what is there
  T* result;      // (parts, rows, columns)
  std::int64_t rows, columns, depth;
  std::int64_t part_depth;  // a part sums this many terms; part p starts at term p * part_depth
};

template <class T>
struct ProductTiles {
  // One more than the tile: lanes that walk down a column hit different banks.
  T a[kProductDepth][kProductTile + 1], b[kProductDepth][kProductTile + 1];
};

/// tile[l][i] = m(first + i, term + l), 0 beyond the matrix. Neighbouring threads read neighbouring memory.
template <class T>
__device__ inline void load_tile(const Strided<T>& m, std::int64_t first, std::int64_t extent, std::int64_t term,
                                 std::int64_t last_term, T (*tile)[kProductTile + 1]) {
  const bool along_terms = m.column == 1;
  for (int e = static_cast<int>(threadIdx.x); e < kProductTile * kProductDepth; e += kThreads) {
    const int l = along_terms ? e % kProductDepth : e / kProductTile;
    const int i = along_terms ? e / kProductDepth : e % kProductTile;
    const bool inside = first + i < extent && term + l < last_term;
    tile[l][i] = inside ? m.data[(first + i) * m.row + (term + l) * m.column] : T(0);
  }
}

/// 256 threads, a tile of 64 x 64 results, 4 x 4 a thread. Terms are added one by one in their order, so that a result
/// does not depend on where in the matrix it lies.
template <class T>
__global__ void __launch_bounds__(kThreads) product_kernel(Product<T> p) {
  constexpr int kEach = 4, kAcross = kProductTile / kEach;
  ProductTiles<T>& shared = shared_memory<ProductTiles<T>>();
  const std::int64_t first_row = blockIdx.x * std::int64_t{kProductTile},
                     first_column = blockIdx.y * std::int64_t{kProductTile}, part = blockIdx.z,
                     begin = part * p.part_depth, end = begin + p.part_depth < p.depth ? begin + p.part_depth : p.depth;
  const int down = static_cast<int>(threadIdx.x) / kAcross, across = static_cast<int>(threadIdx.x) % kAcross;
  T sum[kEach][kEach] = {};
  for (std::int64_t term = begin; term < end; term += kProductDepth) {
    load_tile(p.a, first_row, p.rows, term, end, shared.a);
    load_tile(p.b, first_column, p.columns, term, end, shared.b);
    __syncthreads();
#pragma unroll
    for (int l = 0; l < kProductDepth; ++l) {
      T a[kEach], b[kEach];
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        a[e] = shared.a[l][down + e * kAcross];
        b[e] = shared.b[l][across + e * kAcross];
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int j = 0; j < kEach; ++j) sum[i][j] += a[i] * b[j];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i)
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const std::int64_t row = first_row + down + i * kAcross, column = first_column + across + j * kAcross;
      if (row >= p.rows || column >= p.columns) continue;
      T& result = p.result[(part * p.rows + row) * p.columns + column];
      result = (p.add ? result : p.bias ? p.bias[column] : T(0)) + sum[i][j];
    }
}

template <class T>
void multiply(const Product<T>& p, Stream stream) {
  dim3 grid = grid_of(ceil_div(p.rows, kProductTile));
  grid.y = static_cast<unsigned>(ceil_div(p.columns, kProductTile));
  grid.z = p.part_depth > 0 ? static_cast<unsigned>(ceil_div(p.depth, p.part_depth)) : 1;
  launch(product_kernel<T>, grid, dim3(kThreads), 0, stream, p);
}

/// result (rows, out) = x (rows, in) weight^T (in, out) + bias, the bias optional.
template <class T>
void multiply_rows(const T* x, const T* weight, const T* bias, T* result, std::int64_t rows, std::int64_t in,
                   std::int64_t out, Stream stream) {
  multiply<T>({.a = {x, in, 1},
               .b = {weight, in, 1},
               .bias = bias,
               .add = false,
               .result = result,
               .rows = rows,
               .columns = out,
               .depth = in,
               .part_depth = in},
              stream);
}

/// result (rows, in) = (or += when `add`) grad (rows, out) weight (out, in).
template <class T>
void multiply_rows_back(const T* grad, const T* weight, bool add, T* result, std::int64_t rows, std::int64_t in,
                        std::int64_t out, Stream stream) {
  multiply<T>({.a = {grad, out, 1},
               .b = {weight, 1, in},
               .bias = nullptr,
               .add = add,
               .result = result,
               .rows = rows,
               .columns = in,
               .depth = out,
               .part_depth = out},
              stream);
}

/// Rows whose part of a weight's gradient is one partial sum.
inline constexpr std::int64_t kPartRows = 2048;

/// grad_weight (out, in) += grad^T x, in two stages; `partial` has room for ceil(rows / kPartRows) * out * in.
template <class T>
void add_weight_gradient(const T* grad, const T* x, std::int64_t rows, std::int64_t in, std::int64_t out, T* partial,
                         T* grad_weight, Stream stream) {
  multiply<T>({.a = {grad, 1, out},
               .b = {x, 1, in},
               .bias = nullptr,
               .add = false,
               .result = partial,
               .rows = out,
               .columns = in,
               .depth = rows,
               .part_depth = kPartRows},
              stream);
  add_in_order(partial, ceil_div(rows, kPartRows), out * in, grad_weight, stream);
}

/// grad_bias (out) += the column sums of grad; `partial` has room for ceil(rows / kPartRows) * out.
template <class T>
void add_bias_gradient(const T* grad, std::int64_t rows, std::int64_t out, T* partial, T* grad_bias, Stream stream) {
  for_elements(ceil_div(rows, kPartRows) * out, stream, [=] __device__(std::int64_t i) {
    const std::int64_t part = i / out, column = i - part * out, first = part * kPartRows;
    const std::int64_t last = first + kPartRows < rows ? first + kPartRows : rows;
    T sum = T(0);
    for (std::int64_t row = first; row < last; ++row) sum += grad[row * out + column];
    partial[i] = sum;
  });
  add_in_order(partial, ceil_div(rows, kPartRows), out, grad_bias, stream);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
