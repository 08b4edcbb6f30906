#pragma once

// The backward pass of edit_head over a tile of edges, and how it cuts its work.

#include "kernels/cuda/edit_head.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr std::int64_t kHeadItemEdges = 2048, kItemRows = 16;  // as the chunks of the CPU twin
inline constexpr std::int64_t kSumBytes = 16 << 10;                   // of the weights' gradients in shared memory
inline constexpr std::int64_t kColumnBytes = 24 << 10;                // of sums over columns of an item

/// Runs of whole target rows of a block that are an item each.
struct BlockItems {
  std::int64_t rows;   // of an item, fewer in the last
  std::int64_t count;  // items

  __device__ explicit BlockItems(const Block& block) {
    rows = ceil_div(kHeadItemEdges, block.cols);
    if (rows < kItemRows) rows = kItemRows;
    count = ceil_div(block.rows, rows);
  }
};
/// Columns of partial sums before those of a block. A block with several items has more than kItemRows rows, and so at
/// most edges / (kItemRows / 2) partial columns.
constexpr std::int64_t kColumnShare = kItemRows / 2;
__host__ __device__ constexpr std::int64_t first_column(std::int64_t edge_offset) {
  return ceil_div(edge_offset, kColumnShare);
}

/// Where the gradients of the weights lie in a partial sum.
struct WeightParts {
  std::int32_t weight, weight2, mix, head, head_bias, kind_bias, total;

  template <class T>
  explicit WeightParts(const Head<T>& net)
      : weight(0),
        weight2(weight + net.h * net.d),
        mix(weight2 + net.h * net.d2),
        head(mix + (net.mix ? net.h * net.h : 0)),
        head_bias(head + kBlockKinds * net.outputs * net.h),
        kind_bias(head_bias + kBlockKinds * net.outputs),
        total(kind_bias + kBlockKinds * net.h) {}
};

template <class T>
struct HeadGradient {
  const T* grad_out;
  T *grad_edge, *grad_edge2, *grad_projection;
  bool fresh_edge;       // grad_edge is written, not added to
  T *partial, *columns;  // (parts, total), (first_column(edges), units)
  T* item_columns;       // (parts, column_room): where they have no room in shared memory
};

/// What lies in shared memory beside the tiles of the backward pass, and the threads of a block.
struct BackwardPlan {
  bool resident;  // copies of all matrices
  bool sums;      // those of the weights' gradients and over columns, as far as they are small
  std::int32_t threads;
};

/// Where the tiles of the backward pass lie. `layer` and `deep` hold a hidden layer or its gradient.
struct BackwardLayout : HeadLayout {
  std::int32_t in_stride, layer_stride, out_stride;
  std::int32_t tile, layer, deep, grad_out, column, column_room, sums;  // column, sums: -1, in memory

  /// Of tiles of `each` edges a thread.
  template <class T, int N>
  BackwardLayout(const Head<T>& net, std::integral_constant<int, N> n, const BackwardPlan& plan, bool edge_gradient,
                 std::int32_t each, std::int64_t nodes)
      : HeadLayout(net, n, plan.resident, true, edge_gradient) {
    constexpr std::int64_t kSize = sizeof(T);
    const std::int64_t edges = std::int64_t{plan.threads} * each;
    in_stride = row_stride(net.in + 1);
    layer_stride = row_stride(net.hidden);
    out_stride = row_stride(net.outputs);
    tile = take(edges * in_stride);
    deep = take(edges * layer_stride);
    layer = net.mix ? take(edges * layer_stride) : deep;
    grad_out = take(edges * out_stride);
    const std::int64_t sum_count = WeightParts(net).total;
    sums = plan.sums && sum_count * kSize <= kSumBytes ? take(sum_count) : -1;
    column_room =
        static_cast<std::int32_t>(nodes * net.h * kSize < kColumnBytes ? nodes * net.h : kColumnBytes / kSize);
    column = plan.sums ? take(column_room) : -1;
  }
};

/// Sums over the rows and columns of a tile of consecutive edges, of which `values` has a row each: rows are added to
/// grad_projection, columns to column[col * column_stride + unit]. A warp does a row at a time, a thread a column and
/// unit.
template <class T>
__device__ inline void add_row_sums(const Block& block, std::int64_t begin, std::int32_t count, const T* values,
                                    std::int32_t stride, std::int32_t h, T* grad_projection) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kWarp),
             warps = static_cast<std::int32_t>(blockDim.x / kWarp);
  std::int32_t across = 1;
  while (across < h && across < kWarp) across *= 2;
  const std::int32_t unit0 = lane % across, slice = lane / across, slices = kWarp / across;
  const std::int64_t first_row = begin / block.cols, last_row = (begin + count - 1) / block.cols;
  for (std::int64_t row = first_row + threadIdx.x / kWarp; row <= last_row; row += warps) {
    const std::int64_t from = row * block.cols - begin, to = from + block.cols;
    const std::int32_t a = from > 0 ? static_cast<std::int32_t>(from) : 0,
                       b = to < count ? static_cast<std::int32_t>(to) : count;
    for (std::int32_t first = 0; first < h; first += across) {
      const std::int32_t unit = first + unit0;
      T sum = T(0);
      if (unit < h)
        for (std::int32_t p = a + slice; p < b; p += slices) sum += values[p * stride + unit];
      for (std::int32_t lanes = across; lanes < kWarp; lanes *= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
      if (slice == 0 && unit < h) grad_projection[(block.target_offset + row) * 2 * h + unit] += sum;
    }
  }
}

template <class T>
__device__ inline void add_column_sums(const Block& block, std::int64_t begin, std::int32_t count, const T* values,
                                       std::int32_t stride, std::int32_t h, T* column, std::int64_t column_stride) {
  const std::int32_t columns = block.cols < count ? block.cols : count;
  const auto start = static_cast<std::int32_t>(begin % block.cols), threads = static_cast<std::int32_t>(blockDim.x);
  Walk walk(h, static_cast<std::int32_t>(threadIdx.x), threads);
  for (; walk.row < columns; walk.next()) {
    T sum = T(0);
    for (std::int32_t p = walk.row; p < count; p += block.cols) sum += values[p * stride + walk.column];
    const std::int32_t col = start + walk.row < block.cols ? start + walk.row : start + walk.row - block.cols;
    column[col * column_stride + walk.column] += sum;
  }
}

template <class T, int N, int E>
struct BackwardTile {
  const Head<T>& net;
  const HeadWeights<T, N>& weights;
  const HeadGradient<T>& grad;
  const BackwardLayout& layout;
  const WeightParts& parts;
  T *memory, *sums;

  /// Edges begin .. begin + count - 1 of `block`, counted from its first.
  __device__ void run(const Block& block, std::int32_t index, std::int64_t begin, std::int32_t count, T* column,
                      std::int64_t column_stride) const {
    const auto thread = static_cast<std::int32_t>(threadIdx.x), threads = static_cast<std::int32_t>(blockDim.x);
    const std::int32_t h = net.h, outputs = net.outputs, kind = static_cast<std::int32_t>(block.kind);
    const std::int32_t chunks = net.hidden / N;
    const std::int64_t at0 = block.edge_offset + begin;
    T *tile = memory + layout.tile, *deep = memory + layout.deep, *layer = memory + layout.layer,
      *grad_out = memory + layout.grad_out;
    T* row = tile + thread * layout.in_stride;
    const std::int32_t step = threads * layout.in_stride, layer_step = threads * layout.layer_stride;
    T *deep_row = deep + thread * layout.layer_stride, *layer_row = layer + thread * layout.layer_stride;
    const T* head = weights.head + kind * weights.output_rows * net.hidden;

    net.stage(at0, count, tile, layout.in_stride, thread, threads);
    stage_rows(grad.grad_out + at0 * outputs, count, outputs, grad_out, layout.out_stride, thread, threads);
    const bool active = thread < count;
    EdgeEnds ends[E];
#pragma unroll
    for (int e = 0; e < E; ++e) {
      const std::int32_t at = thread + e * threads;
      const auto local = static_cast<std::uint32_t>(begin + at), cols = static_cast<std::uint32_t>(block.cols);
      ends[e] = {block.target_offset + local / cols, block.source_offset + local % cols, at < count ? kind : -1, index};
      if (at < count) net.form(at0 + at, ends[e], row + e * step);
      // A column of ones behind the inputs: the gradients of the biases are sums of products, too.
      for (std::int32_t c = net.in; c < layout.in_stride; ++c) row[e * step + c] = c == net.in ? T(1) : T(0);
      for (std::int32_t c = outputs; c < layout.out_stride; ++c) grad_out[at * layout.out_stride + c] = T(0);
    }
    __syncthreads();

    run_hidden<N, E>(net, weights, ends, row, step, layer_row, layer_step,
                     [&](std::int32_t chunk, const T(&value)[E][N]) {
#pragma unroll
                       for (int e = 0; e < E; ++e)
#pragma unroll
                         for (int n = 0; n < N; n += 4)
                           store_quad(deep_row + e * layer_step + chunk * N + n, value[e] + n);
                     });
    __syncthreads();

    const std::int32_t ones = net.in / 4 * 4;
    add_products(grad_out, layout.out_stride, quads_of(outputs), deep, layout.layer_stride, quads_of(h), count,
                 [&](std::int32_t o, std::int32_t unit, T sum) {
                   if (o < outputs && unit < h) sums[parts.head + (kind * outputs + o) * h + unit] += sum;
                 });
    add_products(grad_out, layout.out_stride, quads_of(outputs), tile + ones, layout.in_stride, 1, count,
                 [&](std::int32_t o, std::int32_t c, T sum) {
                   if (o < outputs && ones + c == net.in) sums[parts.head_bias + kind * outputs + o] += sum;
                 });
    __syncthreads();

    // The gradient of the last layer takes the layer's place.
    const Factor<T> head_back{{}, {}, outputs, true, outputs, h, const_cast<T*>(head), net.hidden};
    gradient_of_layer(head_back, grad_out + thread * layout.out_stride, threads * layout.out_stride, active, deep_row,
                      layer_step, chunks);
    T* grad_first = deep;
    if (net.mix) {
      __syncthreads();
      add_products(deep, layout.layer_stride, quads_of(h), layer, layout.layer_stride, quads_of(h), count,
                   [&](std::int32_t to, std::int32_t from, T sum) {
                     if (to < h && from < h) sums[parts.mix + to * h + from] += sum;
                   });
      __syncthreads();
      gradient_of_layer(weights.mix_back, deep_row, layer_step, active, layer_row, layer_step, chunks);
      grad_first = layer;
    }
    __syncthreads();

    add_products(grad_first, layout.layer_stride, quads_of(h), tile, layout.in_stride, quads_of(net.in + 1), count,
                 [&](std::int32_t unit, std::int32_t c, T sum) {
                   if (unit >= h || c > net.in) return;
                   const std::int32_t to = c < net.d    ? parts.weight + unit * net.d + c
                                           : c < net.in ? parts.weight2 + unit * net.d2 + c - net.d
                                                        : parts.kind_bias + kind * h + unit;
                   sums[to] += sum;
                 });
    add_row_sums(block, begin, count, grad_first, layout.layer_stride, h, grad.grad_projection);
    add_column_sums(block, begin, count, grad_first, layout.layer_stride, h, column, column_stride);
    __syncthreads();
    if (!grad.grad_edge && !grad.grad_edge2) return;

    // The gradient of the inputs takes their place.
    for (std::int32_t chunk = 0; chunk * N < net.in; ++chunk) {
      T value[E][N] = {};
      multiply<N, E>(weights.edge_back, chunk, net.mix ? layer_row : deep_row, layer_step, weights.slab, active, value);
#pragma unroll
      for (int e = 0; e < E; ++e)
#pragma unroll
        for (int n = 0; n < N; n += 4)
          if (chunk * N + n < net.in) store_quad(row + e * step + chunk * N + n, value[e] + n);
    }
    __syncthreads();
    if (grad.grad_edge)
      unstage_rows(tile, layout.in_stride, count, net.d, !grad.fresh_edge, grad.grad_edge + at0 * net.d, thread,
                   threads);
    if (grad.grad_edge2)
      unstage_rows(tile + net.d, layout.in_stride, count, net.d2, true, grad.grad_edge2 + at0 * net.d2, thread,
                   threads);
    __syncthreads();
  }

  /// A thread's rows of a layer become its gradient: back * `from` where the layer is open, 0 elsewhere.
  __device__ __forceinline__ void gradient_of_layer(const Factor<T>& back, const T* from, std::int32_t from_step,
                                                    bool active, T* to, std::int32_t to_step,
                                                    std::int32_t chunks) const {
#pragma unroll 1
    for (std::int32_t chunk = 0; chunk < chunks; ++chunk) {
      T value[E][N] = {};
      multiply<N, E>(back, chunk, from, from_step, weights.slab, active, value);
#pragma unroll
      for (int e = 0; e < E; ++e)
#pragma unroll
        for (int n = 0; n < N; n += 4) {
          const Quad<T> open = load_quad(to + e * to_step + chunk * N + n);
#pragma unroll
          for (int i = 0; i < 4; ++i) value[e][n + i] = open.value[i] > T(0) ? value[e][n + i] : T(0);
          store_quad(to + e * to_step + chunk * N + n, value[e] + n);
        }
    }
  }
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
