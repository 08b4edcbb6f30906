#pragma once

// Sums over rows of what enters neurons times what their sources hold: delta_l^T a_{l-1} for the gradients of any
// number of objectives, and G_l^T (a_{l-1} - mu)^2 with G = sum over seeds of delta^2 for the Fisher information (see
// kernels/cpu/probe.cpp). What subject_backward and probe share.
//
// A network that fits shared memory: a block keeps its weights (without the first layer's, which no delta passes) and
// the sums. Row tiles of 32 are read once; for each objective and seed the deltas of all layers are formed, then a
// thread adds the tile's part of 4 x 4 sums at a time, from registers. Few networks: a block a tile, whose sums a
// second launch adds in order, to the same bits.

#include "kernels/cuda/subject_wide_sums.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr int kSumRows = 32;                     // of a tile
inline constexpr std::int64_t kMostPartials = 1 << 25;  // elements of sums of single tiles; bounds their memory

/// Where everything of a network lies in the shared memory of a block, in elements. `squares` is used with more than
/// two classes: their seeds are carried back one after the other.
struct SumsPlan {
  int target, squares, sums;  // begin of the deltas of all layers, of sums of their squares, of the sums over rows
  int set, bias;              // elements of one set of sums, where the biases begin in it
  int tiles;                  // 4 x 4 tiles of a set
  int total;
};

template <class T>
__device__ SumsPlan plan_sums(const SubjectNetwork& net, int sets, bool squares, LayerPlace* place) {
  int next = net.layers * kPlaceElements<T>, delta = 0, sum = 0;
  SumsPlan plan{};
  for (int l = 0; l < net.layers; ++l) {
    const int rows = net.block[l].rows, cols = net.block[l].cols;
    if (place)
      place[l] = {.rows = rows,
                  .cols = cols,
                  .weight = next,
                  .source = next + (l > 0 ? padded(rows) * stride_of(cols) : 0),
                  .target = delta,
                  .sum = sum,
                  .tile = plan.tiles,
                  .node = plan.bias};
    next += (l > 0 ? padded(rows) * stride_of(cols) : 0) + kSumRows * stride_of(cols);
    delta += kSumRows * stride_of(rows);
    sum += padded(rows) * stride_of(cols);
    plan.tiles += quads(rows) * quads(cols);
    plan.bias += padded(rows);
  }
  plan.target = next;
  plan.squares = next + (squares ? delta : 0);
  plan.sums = plan.squares + delta;
  plan.set = sum + plan.bias;
  plan.bias = sum;
  plan.total = plan.sums + sets * plan.set;
  return plan;
}

template <class T>
std::int64_t most_sums_elements(const LargestNetwork& most, int sets, bool squares) {
  const std::int64_t strides = most.strides() + most.classes + 7;
  return kPlaceElements<T> * most.layers + most.weights() +
         kSumRows * (stride_of(most.inputs) + most.strides() + (squares ? 2 : 1) * strides) +
         sets * (most.weights() + most.nodes + 3 * most.layers);
}

/// The deltas of all layers of a tile from those of the logits, which are there.
template <class T>
__device__ void carry_back(const SubjectSums<T>& a, const SubjectNetwork& net, const LayerPlace* place, T* memory,
                           int targets, std::int64_t first, int count) {
  for (int l = net.layers - 1; l > 0; --l) {
    __syncthreads();
    const LayerPlace at = place[l];
    const int below = targets + place[l - 1].target;
    const T* slope = net.hidden(a.slope, l - 1, a.rows) + first * at.cols;
    const bool aligned = in_quads(slope, at.cols);
    multiply_tile(memory + targets + at.target, stride_of(at.rows), memory + at.weight, stride_of(at.cols), kSumRows,
                  at.rows, at.cols, [&](int r, int c, const Quad<T>(&sum)[4]) {
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                      const int row = r + i * (kSumRows / 4);
                      Quad<T> d{};
                      if (row < count) {
                        d = read_quad(slope + row * at.cols, c, at.cols, aligned);
#pragma unroll
                        for (int j = 0; j < 4; ++j) d.value[j] = c + j < at.cols ? d.value[j] * sum[i].value[j] : T(0);
                      }
                      store_quad(memory + below + row * stride_of(at.cols) + c, d);
                    }
                  });
  }
  __syncthreads();
}

/// Adds the tile's part to a set of sums.
template <class T>
__device__ void add_products(const SubjectNetwork& net, const LayerPlace* place, const SumsPlan& plan, T* memory,
                             int targets, T* set) {
  int l = 0;
  for (int t = static_cast<int>(threadIdx.x); t < plan.tiles; t += static_cast<int>(blockDim.x)) {
    while (l + 1 < net.layers && t >= place[l + 1].tile) ++l;
    const LayerPlace at = place[l];
    // Strips of eight quads of columns: a warp reads 8 quads of one operand and 4 of the other.
    const int strip = (t - at.tile) / (8 * quads(at.rows)), left = quads(at.cols) - 8 * strip,
              across = left < 8 ? left : 8, inside = t - at.tile - strip * 8 * quads(at.rows);
    const int o = 4 * (inside / across), c = 4 * (8 * strip + inside % across);
    Quad<T> sum[4] = {};
    multiply_columns(memory + targets + at.target + o, stride_of(at.rows), memory + at.source + c, stride_of(at.cols),
                     kSumRows, sum);
    T* total = set + at.sum + o * stride_of(at.cols) + c;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      Quad<T> q = load_quad(total + e * stride_of(at.cols));
#pragma unroll
      for (int j = 0; j < 4; ++j) q.value[j] += sum[e].value[j];
      store_quad(total + e * stride_of(at.cols), q);
    }
  }
  // The last threads, who have fewer tiles.
  for (int t = static_cast<int>(blockDim.x - 1 - threadIdx.x); t < plan.set - plan.bias;
       t += static_cast<int>(blockDim.x)) {
    int layer = 0;
    while (layer + 1 < net.layers && t >= place[layer + 1].node) ++layer;
    const T* column = memory + targets + place[layer].target + t - place[layer].node;
    const int stride = stride_of(place[layer].rows);
    T sum = T(0);
#pragma unroll 8
    for (int r = 0; r < kSumRows; ++r) sum += column[r * stride];
    set[plan.bias + t] += sum;
  }
}

/// Hands the sums of the block on: to their places, or, `partial`, to (sets, edges + nodes) elements of the tile.
template <class T>
__device__ void write_sums(const SubjectSums<T>& a, const SubjectNetwork& net, const LayerPlace* place,
                           const SumsPlan& plan, const T* sums, T* partial) {
  for (int q = 0; q < a.sets(); ++q, sums += plan.set) {
    SumTarget<T> target = a.target(q);
    if (partial) target = target.partial(a, partial, q);
    for (int l = 0; l < net.layers; ++l) {
      const LayerPlace at = place[l];
      const Block& block = net.block[l];
      for (int e = static_cast<int>(threadIdx.x); target.edge && e < at.rows * at.cols;
           e += static_cast<int>(blockDim.x)) {
        const int o = e / at.cols;
        target.put_edge(block.edge_offset + e, sums[at.sum + o * stride_of(at.cols) + e - o * at.cols]);
      }
      for (int i = static_cast<int>(threadIdx.x); target.node && i < at.rows; i += static_cast<int>(blockDim.x))
        target.put_node(block.target_offset + i, sums[plan.bias + at.node + i]);
    }
    if (!partial) target.clear_inputs(net);
  }
}

/// Blocks (network, y): y walks over row tiles, or, with `partial`, is a row tile.
template <class T>
__global__ void __launch_bounds__(kThreads) sums_kernel(SubjectSums<T> a, T* partial) {
  const SubjectNetwork net(a.table, static_cast<int>(blockIdx.x));
  SumsPlan plan = plan_sums<T>(net, a.sets(), a.several_seeds(), nullptr);
  if (plan.total > a.limit) return;
  T* memory = dynamic_shared_memory<T>();
  LayerPlace* place = reinterpret_cast<LayerPlace*>(memory);
  if (threadIdx.x == 0) plan_sums<T>(net, a.sets(), a.several_seeds(), place);
  T* sums = memory + plan.sums;
  for (int e = static_cast<int>(threadIdx.x); e < a.sets() * plan.set; e += static_cast<int>(blockDim.x))
    sums[e] = T(0);
  __syncthreads();
  for (int l = 1; l < net.layers; ++l)
    load_matrix(memory + place[l].weight, padded(place[l].rows), place[l].cols, place[l].rows,
                a.weight + net.block[l].edge_offset);
  const LayerPlace top = place[net.layers - 1];
  const bool aligned_x = in_quads(a.x, a.inputs);
  const std::int64_t rows = a.summed_rows();
  for (std::int64_t first = blockIdx.y * std::int64_t{kSumRows}; first < rows;
       first += gridDim.y * std::int64_t{kSumRows}) {
    const int count = static_cast<int>(rows - first < kSumRows ? rows - first : kSumRows);
    load_rows(memory + place[0].source, kSumRows, a.inputs, count, aligned_x,
              [&](int r) { return a.input_row(net.index, first + r); });
    for (int l = 1; l < net.layers; ++l)
      load_matrix(memory + place[l].source, kSumRows, place[l].cols, count,
                  net.hidden(a.activation, l - 1, a.rows) + first * place[l].cols);
    for (int q = 0; q < a.objectives; ++q) {
      load_matrix(memory + plan.target + top.target, kSumRows, a.classes, count,
                  a.grad_logits + ((std::int64_t{q} * a.table.network_count + net.index) * a.rows + first) * a.classes);
      carry_back(a, net, place, memory, plan.target, first, count);
      add_products(net, place, plan, memory, plan.target, sums + q * plan.set);
      __syncthreads();  // the next deltas overwrite these
    }
    const std::int64_t left = a.fisher_rows() - first;
    if (left <= 0) continue;
    const int statistic_count = static_cast<int>(left < kSumRows ? left : kSumRows);
    const int seeds = a.several_seeds() ? a.classes : 1, size = plan.sums - plan.squares;
    for (int s = 0; s < seeds; ++s) {
      const T* z = a.logits + (net.index * a.rows + first) * a.classes;
      fill_seed(z, statistic_count, kSumRows, a.classes, s, memory + plan.target + top.target, padded(a.classes),
                stride_of(a.classes));
      carry_back(a, net, place, memory, plan.target, first, statistic_count);
      // In place for one seed. What lies between a matrix's width and its stride is never read.
      for (int e = static_cast<int>(threadIdx.x); e < size; e += static_cast<int>(blockDim.x)) {
        const T d = memory[plan.target + e];
        memory[plan.squares + e] = s == 0 ? d * d : memory[plan.squares + e] + d * d;
      }
      __syncthreads();
    }
    for (int l = 0; l < net.layers; ++l) {
      const T* mean = a.mean + net.block[l].source_offset;
      const LayerPlace at = place[l];
      for (int e = static_cast<int>(threadIdx.x); e < kSumRows * quads(at.cols); e += static_cast<int>(blockDim.x)) {
        const int r = e / quads(at.cols), c = 4 * (e - r * quads(at.cols));
        T* p = memory + at.source + r * stride_of(at.cols) + c;
        Quad<T> v = load_quad(p);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const T centred = c + j < at.cols ? v.value[j] - mean[c + j] : T(0);
          v.value[j] = centred * centred;
        }
        store_quad(p, v);
      }
    }
    __syncthreads();
    add_products(net, place, plan, memory, plan.squares, sums + a.objectives * plan.set);
    __syncthreads();  // the next tile overwrites everything
  }
  __syncthreads();
  write_sums(a, net, place, plan, sums,
             partial ? partial + blockIdx.y * a.sets() * (a.table.edge_count + a.table.node_count) : nullptr);
}

template <class T>
__device__ inline T sum_tiles(const T* partial, std::int64_t tiles, std::int64_t apart) {
  T sum = T(0);
#pragma unroll 4
  for (std::int64_t t = 0; t < tiles; ++t) sum += partial[t * apart];
  return sum;
}

/// The second stage: a network's tiles in order. Blocks (network, y), y walks over its edges and nodes.
template <class T>
__global__ void __launch_bounds__(kThreads) add_tiles_kernel(SubjectSums<T> a, const T* partial, std::int64_t tiles) {
  const SubjectNetwork net(a.table, static_cast<int>(blockIdx.x));
  if (plan_sums<T>(net, a.sets(), a.several_seeds(), nullptr).total > a.limit) return;
  const std::int64_t size = a.table.edge_count + a.table.node_count, apart = a.sets() * size;
  const int begin = static_cast<int>(blockIdx.y * kThreads + threadIdx.x),
            step = static_cast<int>(gridDim.y) * kThreads;
  for (int q = 0; q < a.sets(); ++q) {
    const SumTarget<T> target = a.target(q);
    const T* edges = partial + q * size + net.network.edge_offset;
    for (int e = begin; target.edge && e < net.network.edge_count; e += step)
      target.put_edge(net.network.edge_offset + e, sum_tiles(edges + e, tiles, apart));
    const T* nodes = partial + q * size + a.table.edge_count + net.network.node_offset;
    for (int i = begin; target.node && i < net.network.node_count; i += step)
      if (i >= net.network.inputs) target.put_node(net.network.node_offset + i, sum_tiles(nodes + i, tiles, apart));
    if (blockIdx.y == 0) target.clear_inputs(net);
  }
}

/// The networks that sums_kernel leaves out.
template <class T>
struct SumsLargerThanChip {
  int sets, limit;
  bool squares;
  __device__ bool operator()(const SubjectNetwork& net) const {
    return plan_sums<T>(net, sets, squares, nullptr).total > limit;
  }
};

/// The launches for what `sums` asks for, and the device memory that they need.
template <class T>
class SubjectSumsPass {
 public:
  SubjectSumsPass(const SubjectSums<T>& sums, Stream stream)
      : a_(sums),
        stream_(stream),
        limits_(device_limits(stream)),
        most_(a_.table, a_.inputs, a_.classes),
        tiles_(ceil_div(a_.summed_rows(), kSumRows)),
        chip_elements_(most_sums_elements<T>(most_, a_.sets(), a_.several_seeds())),
        wide_sums_(a_, most_, limits_) {
    a_.limit = on_chip_elements<T>(limits_);
    wide_ = chip_elements_ > a_.limit || a_.saliency;
    // Where a block a network does not fill the device: a block a tile.
    partial_count_ = tiles_ * a_.sets() * (a_.table.edge_count + a_.table.node_count);
    split_ = a_.table.network_count < limits_.multiprocessors && tiles_ > 1 && partial_count_ <= kMostPartials;
    if (!split_) partial_count_ = 0;
  }

  std::int64_t elements() const { return partial_count_ + (wide_ ? wide_sums_.elements() : 0); }

  void run(T* memory) const {
    if (a_.table.network_count == 0) return;
    if (a_.sets() > 0) on_chip(split_ ? memory : nullptr);
    if (wide_)
      wide_sums_.run(SumsLargerThanChip<T>{.sets = a_.sets(), .limit = a_.limit, .squares = a_.several_seeds()},
                     memory + partial_count_, stream_);
  }

 private:
  void on_chip(T* partial) const {
    dim3 grid = grid_of(a_.table.network_count);
    grid.y = partial ? static_cast<unsigned>(tiles_) : 1;
    // About as many threads as the largest network has tiles of sums; neighbours of other sizes change no bits.
    const int sums = most_.edges / 16;
    const unsigned threads = sums <= 64 ? 64 : sums <= 128 ? 128 : kThreads;
    const std::int64_t shared = chip_elements_ < a_.limit ? chip_elements_ : a_.limit;
    launch(sums_kernel<T>, grid, dim3(threads), static_cast<std::size_t>(shared) * sizeof(T), stream_, a_, partial);
    if (!partial) return;
    grid.y = 8;
    launch(add_tiles_kernel<T>, grid, dim3(kThreads), 0, stream_, a_, partial, tiles_);
  }

  SubjectSums<T> a_;
  Stream stream_;
  DeviceLimits limits_;
  LargestNetwork most_;
  std::int64_t tiles_, chip_elements_, partial_count_;
  WideSums<T> wide_sums_;
  bool wide_, split_;
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
