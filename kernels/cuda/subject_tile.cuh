#pragma once

// A row tile of a subject network in the shared memory of a block, and the products it goes through. Matrices lie there
// row-major, 4 elements an access, with strides whose quarter is odd: lanes that read the same columns of neighbouring
// rows hit different banks. What pads a matrix to whole quads is 0.
//
// A thread forms 4 x 4 results in registers, each a sum in the order of its terms: 2 accesses of 16 bytes for 16
// multiply-adds. A result does not depend on the number of threads, nor on where in the matrix it lies.

#include "kernels/cuda/device_limits.cuh"
#include "kernels/cuda/quad.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/subject_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// Bytes of shared memory up to which a network stays on chip, where the device has as much.
inline constexpr int kMostSharedBytes = 160 << 10;

template <class T>
int on_chip_elements(const DeviceLimits& limits) {
  const int bytes = limits.shared_bytes < kMostSharedBytes ? limits.shared_bytes : kMostSharedBytes;
  return bytes / static_cast<int>(sizeof(T));
}

__host__ __device__ constexpr int quads(int count) { return (count + 3) / 4; }
/// `count` elements or rows, padded to whole quads.
__host__ __device__ constexpr int padded(int count) { return quads(count) * 4; }
/// From row to row of a matrix of `width` columns.
__host__ __device__ constexpr int stride_of(int width) { return (quads(width) | 1) * 4; }

/// Whether rows of `width` elements from `p` on consist of whole, aligned quads.
template <class T>
__device__ inline bool in_quads(const T* p, int width) {
  return width % 4 == 0 && reinterpret_cast<std::uintptr_t>(p) % alignof(Quad<T>) == 0;
}

/// Writes the columns below `width` of a quad to row `row` in memory; `aligned`: see in_quads.
template <class T>
__device__ inline void write_quad(T* row, int column, int width, bool aligned, const Quad<T>& q) {
  if (aligned) return store_quad(row + column, q);
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (column + j < width) row[column + j] = q.value[j];
}

/// The columns below `width` of a quad of row `row` in memory, 0 beyond.
template <class T>
__device__ inline Quad<T> read_quad(const T* row, int column, int width, bool aligned) {
  if (aligned) return load_quad(row + column);
  Quad<T> q{};
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (column + j < width) q.value[j] = row[column + j];
  return q;
}

/// tile (rows, width) = the rows `row_of(r)`, r < count, of `width` elements; NaN where that is null. The others are 0.
template <class T, class RowOf>
__device__ void load_rows(T* tile, int rows, int width, int count, bool aligned, const RowOf& row_of) {
  const int across = quads(width), stride = stride_of(width);
  for (int e = static_cast<int>(threadIdx.x); e < rows * across; e += static_cast<int>(blockDim.x)) {
    const int r = e / across, column = 4 * (e - r * across);
    Quad<T> q{};
    if (r < count) {
      const T* row = row_of(r);
      if (row == nullptr) {
#pragma unroll
        for (int j = 0; j < 4; ++j) q.value[j] = not_a_number<T>();
      } else {
        q = read_quad(row, column, width, aligned);
      }
    }
    store_quad(tile + r * stride + column, q);
  }
}

/// The same of a (count, width) matrix in memory.
template <class T>
__device__ void load_matrix(T* tile, int rows, int width, int count, const T* matrix) {
  load_rows(tile, rows, width, count, in_quads(matrix, width), [=](int r) { return matrix + std::int64_t{r} * width; });
}

/// tile (in, out) = matrix (out, in)^T.
template <class T>
__device__ void load_transposed(T* tile, int in, int out, const T* matrix) {
  const int down = padded(in), stride = stride_of(out);
  for (int e = static_cast<int>(threadIdx.x); e < down * padded(out); e += static_cast<int>(blockDim.x)) {
    const int o = e / down, i = e - o * down;
    tile[i * stride + o] = o < out && i < in ? matrix[o * in + i] : T(0);
  }
}

/// Calls `store(r, c, sum)` with sum[i].value[j] = sum_k a(r + i * rows / 4, k) b(k, c + j): a (rows, depth), b (depth,
/// columns), rows a multiple of 4.
template <class T, class Store>
__device__ void multiply_tile(const T* a, int a_stride, const T* b, int b_stride, int rows, int depth, int columns,
                              const Store& store) {
  const int across = quads(columns), down = rows / 4;
  for (int t = static_cast<int>(threadIdx.x); t < across * down; t += static_cast<int>(blockDim.x)) {
    const int r = t / across, c = 4 * (t - r * across);
    Quad<T> sum[4] = {};
    for (int k = 0; k < depth; k += 4) {
      Quad<T> x[4], y[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = load_quad(a + (r + i * down) * a_stride + k);
#pragma unroll
      for (int l = 0; l < 4; ++l) y[l] = load_quad(b + (k + l) * b_stride + c);
#pragma unroll
      for (int l = 0; l < 4; ++l)
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sum[i].value[j] += x[i].value[l] * y[l].value[j];
    }
    store(r, c, sum);
  }
}

/// sum[i].value[j] += sum_r a(r, i) b(r, j), from the quads of columns that a and b point at.
template <int kUnrolled = 4, class T>
__device__ inline void multiply_columns(const T* a, int a_stride, const T* b, int b_stride, int rows,
                                        Quad<T> (&sum)[4]) {
#pragma unroll kUnrolled
  for (int r = 0; r < rows; ++r) {
    const Quad<T> x = load_quad(a + r * a_stride), y = load_quad(b + r * b_stride);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[i].value[j] += x.value[i] * y.value[j];
  }
}

/// What a neuron makes of `pre`; NaN where there is no such activation.
template <class T>
__device__ inline T activate(std::int32_t activation, T pre, T& slope) {
  switch (static_cast<SubjectActivation>(activation)) {
    case SubjectActivation::relu: return Relu()(pre, slope);
    case SubjectActivation::tanh: return Tanh()(pre, slope);
    case SubjectActivation::silu: return Silu()(pre, slope);
    case SubjectActivation::sigmoid: return Sigmoid()(pre, slope);
  }
  return slope = not_a_number<T>();
}

/// A network as a block sees it.
struct SubjectNetwork {
  Network network;
  const Block* block;  // of its first layer
  int index, layers;

  __device__ SubjectNetwork(const BlockTable& table, int b)
      : network(table.network[b]), block(table.block + network.first_block), index(b), layers(network.block_count) {}

  /// The (rows, width) matrix of what layer l produces, l + 1 < layers, in a (hidden_count, rows) tensor.
  template <class T>
  __device__ T* hidden(T* tensor, int l, std::int64_t rows) const {
    return tensor + (network.hidden_offset + block[l].target_offset - network.node_offset - network.inputs) * rows;
  }
};

/// What all passes over subject networks read; see SubjectForward.
template <class T>
struct SubjectPass {
  BlockTable table;
  const T *weight, *bias, *x;
  const std::int32_t* row_index;
  T *activation, *slope, *logits;
  std::int64_t data_rows, rows;
  int inputs, classes;

  explicit SubjectPass(const SubjectForward& a)
      : table(a.table),
        weight(a.weight.as<T>()),
        bias(elements<T>(a.bias)),
        x(a.x.as<T>()),
        row_index(elements<std::int32_t>(a.row_index)),
        activation(elements<T>(a.activation)),
        slope(elements<T>(a.slope)),
        logits(a.logits.as<T>()),
        data_rows(a.x.extent(0)),
        rows(a.logits.extent(1)),
        inputs(static_cast<int>(a.x.extent(1))),
        classes(static_cast<int>(a.logits.extent(2))) {}

  /// Row `row` of network b's x; null when its index is out of range.
  __device__ const T* input_row(int b, std::int64_t row) const {
    if (row_index) row = row_index[b * rows + row];
    return row >= 0 && row < data_rows ? x + row * inputs : nullptr;
  }
};

/// A layer in the shared memory of a block: where its parts begin, in elements.
struct LayerPlace {
  int rows, cols;
  int weight;  // its weights
  int source;  // the tile that it reads
  int target;  // the tile that it writes
  int sum;     // sums over rows of the products of the two
  int tile;    // 4 x 4 tiles of such sums in the layers before it
  int node;    // its first target among the network's nodes without inputs
};
template <class T>
inline constexpr int kPlaceElements = static_cast<int>(sizeof(LayerPlace) / sizeof(T));

/// What the host knows of the largest network.
struct LargestNetwork {
  int inputs, classes, layers, hidden, edges, nodes;

  LargestNetwork(const BlockTable& table, std::int64_t inputs_, std::int64_t classes_)
      : inputs(static_cast<int>(inputs_)),
        classes(static_cast<int>(classes_)),
        layers(table.max_blocks),
        hidden(table.max_nodes - inputs - classes),
        edges(table.max_edges),
        nodes(table.max_nodes) {}

  /// Bounds on the elements of the weights, either way round, and of a row of all hidden layers.
  std::int64_t weights() const { return std::int64_t{edges} + 7 * nodes + 3 * nodes + 21 * layers; }
  std::int64_t strides() const { return std::int64_t{hidden} + 7 * layers; }
};

/// Row tiles that a block of a grid (networks, result) walks over are `result` apart: enough blocks to fill the device.
inline unsigned row_blocks(const DeviceLimits& limits, std::int64_t networks, std::int64_t tiles, int blocks_each) {
  const std::int64_t wanted = ceil_div(std::int64_t{limits.multiprocessors} * blocks_each, networks > 0 ? networks : 1);
  return static_cast<unsigned>(wanted < tiles ? wanted : tiles);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
