#pragma once

// subject_sums.cuh for networks that do not fit shared memory, and the saliency of input features for all of them. One
// launch carries the deltas of row tiles back and leaves them, or the sums of their squares, in device memory
// ("signal"); another forms the products over all rows, 64 x 64 sums a block.

#include "kernels/cuda/subject_wide.cuh"
#include "kernels/softmax_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

template <class T>
struct SubjectSums;

/// Where a set of sums goes.
template <class T>
struct SumTarget {
  T* edge;  // (edges) or null
  T* node;  // (nodes) or null
  T scale;
  bool add;

  __device__ void put_edge(std::int64_t i, T sum) const { edge[i] = add ? edge[i] + sum : scale * sum; }
  __device__ void put_node(std::int64_t i, T sum) const { node[i] = add ? node[i] + sum : scale * sum; }
  /// Inputs have no bias.
  __device__ void clear_inputs(const SubjectNetwork& net) const {
    if (node == nullptr || add) return;
    for (int i = static_cast<int>(threadIdx.x); i < net.network.inputs; i += static_cast<int>(blockDim.x))
      node[net.network.node_offset + i] = T(0);
  }
  /// The sums of one tile instead, in (sets, edges + nodes) elements.
  __device__ SumTarget partial(const SubjectSums<T>& a, T* tile, int set) const {
    T* own = tile + set * (a.table.edge_count + a.table.node_count);
    return {
        .edge = edge ? own : nullptr, .node = node ? own + a.table.edge_count : nullptr, .scale = T(1), .add = false};
  }
};

/// What is to be summed. Sets of sums are numbered: the objectives, then the Fisher information.
template <class T>
struct SubjectSums : SubjectPass<T> {
  const T* grad_logits = nullptr;  // (objectives, networks, rows, classes)
  int objectives = 0;
  T *gradient = nullptr, *gradient_bias = nullptr;  // (objectives, edges), (objectives, nodes); may be null
  bool add = false;                                 // to the gradients, instead of overwriting them
  std::int64_t statistic_rows = 0;
  const T* mean = nullptr;                      // (nodes), what Fisher information and saliency centre sources by
  T *fisher = nullptr, *fisher_bias = nullptr;  // (edges), (nodes); may be null
  T* saliency = nullptr;                        // (networks, features) or null
  const std::int32_t* feature_offset = nullptr;
  int features = 0;
  int limit = 0;  // elements of shared memory that a network may need to stay on chip

  explicit SubjectSums(const SubjectForward& a) : SubjectPass<T>(a) {}

  __host__ __device__ bool has_fisher() const { return fisher || fisher_bias; }
  __host__ __device__ int sets() const { return objectives + (has_fisher() ? 1 : 0); }
  __host__ __device__ bool several_seeds() const { return has_fisher() && this->classes > 2; }
  __host__ __device__ std::int64_t fisher_rows() const { return has_fisher() ? statistic_rows : 0; }
  __host__ __device__ std::int64_t summed_rows() const { return objectives > 0 ? this->rows : fisher_rows(); }
  __device__ SumTarget<T> target(int set) const {
    const T share = T(1) / static_cast<T>(statistic_rows);
    if (set == objectives) return {.edge = fisher, .node = fisher_bias, .scale = share, .add = false};
    return {.edge = gradient ? gradient + set * this->table.edge_count : nullptr,
            .node = gradient_bias ? gradient_bias + set * this->table.node_count : nullptr,
            .scale = T(1),
            .add = add};
  }
};

/// target (rows, columns) = seed `which` of the logits z of rows below `count`: two classes have one, sqrt(p_0 p_1)
/// (-1, 1), more one each, sqrt(p_c) (e_c - p). The rest is 0.
template <class T>
__device__ void fill_seed(const T* z, int count, int rows, int classes, int which, T* target, int columns, int stride) {
  for (int r = static_cast<int>(threadIdx.x); r < rows; r += static_cast<int>(blockDim.x)) {
    T* seed = target + r * stride;
    for (int c = 0; c < columns; ++c) seed[c] = T(0);
    if (r >= count) continue;
    const T* own = z + r * classes;
    if (classes == 2) {
      const TwoClasses<T> p(own[1] - own[0]);
      // Root by root: the product of the two may lie below the smallest normal number.
      const T s = std::sqrt(p.first) * std::sqrt(p.second);
      seed[0] = -s;
      seed[1] = s;
      continue;
    }
    const SoftmaxRow<T> p(own, classes);
    const T root = std::sqrt(p.probability(own[which]));
    for (int c = 0; c < classes; ++c) seed[c] = (c == which ? root : T(0)) - root * p.probability(own[c]);
  }
}

template <class T>
struct WideMemory {
  T* signal;    // per network (hidden and output nodes, rows), a (rows, width) matrix a layer
  T* scratch;   // kWideTile rows of the largest network's nodes for every block
  T* saliency;  // (tiles, networks, features)
  int nodes;
};

/// The first target of layer l among a network's hidden and output nodes.
__device__ inline std::int64_t node_of(const SubjectNetwork& net, int l) {
  return net.block[l].target_offset - net.network.node_offset - net.network.inputs;
}
template <class T, class Element>
__device__ Element* signal_of(const SubjectSums<T>& a, const SubjectNetwork& net, Element* signal, int l) {
  return signal + (net.network.hidden_offset + std::int64_t{net.index} * a.classes + node_of(net, l)) * a.rows;
}

/// Sums over the tile's rows of the squared change of the logits, in the seed's direction, without a feature; a warp a
/// feature.
template <class T>
__device__ void add_saliency(const SubjectSums<T>& a, const SubjectNetwork& net, std::int64_t first, int count,
                             const T* grad_x, bool first_seed, T* sums) {
  const T* mean = a.mean + net.network.node_offset;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int f = static_cast<int>(threadIdx.x) / kWarp; f < a.features; f += kThreads / kWarp) {
    const int begin = a.feature_offset[f], end = a.feature_offset[f + 1];
    T sum = begin >= 0 && begin <= end && end <= a.inputs ? T(0) : not_a_number<T>();
    for (int r = lane; r < count && sum == sum; r += kWarp) {
      const T* x = a.input_row(net.index, first + r);
      T change = T(0);
      for (int j = begin; j < end; ++j) change += (x[j] - mean[j]) * grad_x[std::int64_t{r} * a.inputs + j];
      sum += change * change;
    }
    sum = warp_sum(sum);
    if (lane == 0) sums[f] = first_seed ? sum : sums[f] + sum;
  }
}

/// The signal of objective `q`, or, kFisher, the sums over seeds of squared deltas, and the saliency.
template <bool kFisher, class T, class Mine>
__global__ void __launch_bounds__(kThreads) deltas_wide_kernel(SubjectSums<T> a, int q, WideMemory<T> m, Mine mine) {
  const std::int64_t rows = kFisher ? a.statistic_rows : a.rows;
  T* scratch = m.scratch + block_index() * kWideTile * m.nodes;
  const int seeds = kFisher && a.classes > 2 ? a.classes : 1;
  for (int b = static_cast<int>(blockIdx.x); b < a.table.network_count; b += static_cast<int>(gridDim.x)) {
    const SubjectNetwork net(a.table, b);
    const bool emits = mine(net) && (!kFisher || a.has_fisher());
    const bool salient = kFisher && a.saliency;
    if (!emits && !salient) continue;
    for (std::int64_t first = blockIdx.y * std::int64_t{kWideTile}; first < rows;
         first += gridDim.y * std::int64_t{kWideTile}) {
      const int count = static_cast<int>(rows - first < kWideTile ? rows - first : kWideTile);
      for (int s = 0; s < seeds; ++s) {
        T* delta = scratch + kWideTile * node_of(net, net.layers - 1);
        const std::int64_t at = (b * a.rows + first) * a.classes;
        if (kFisher)
          fill_seed(a.logits + at, count, count, a.classes, s, delta, a.classes, a.classes);
        else
          for (int e = static_cast<int>(threadIdx.x); e < count * a.classes; e += kThreads)
            delta[e] = a.grad_logits[std::int64_t{q} * a.table.network_count * a.rows * a.classes + at + e];
        const auto emit = [&](T* signal, T value) {
          *signal = !kFisher ? value : s == 0 ? value * value : *signal + value * value;
        };
        __syncthreads();
        T* signal = signal_of(a, net, m.signal, net.layers - 1) + first * a.classes;
        for (int e = static_cast<int>(threadIdx.x); emits && e < count * a.classes; e += kThreads)
          emit(signal + e, delta[e]);
        for (int l = net.layers - 1; l > 0; --l) {
          const int out = net.block[l].rows, in = net.block[l].cols;
          T* below = scratch + kWideTile * node_of(net, l - 1);
          const T *slope = net.hidden(a.slope, l - 1, a.rows) + first * in,
                  *weight = a.weight + net.block[l].edge_offset;
          signal = signal_of(a, net, m.signal, l - 1) + first * in;
          for (int c = 0; c < in; c += kWideTile)
            wide_product<T, Along::terms, Along::results>(
                count, in - c < kWideTile ? in - c : kWideTile, out,
                [&](int i, std::int64_t k) { return delta[std::int64_t{i} * out + k]; },
                [&](int j, std::int64_t k) { return weight[k * in + c + j]; },
                [&](int i, int j, const Quad<T>& sum) {
#pragma unroll
                  for (int k = 0; k < 4; ++k) {
                    if (c + j + k >= in) continue;
                    const std::int64_t e = std::int64_t{i} * in + c + j + k;
                    below[e] = sum.value[k] * slope[e];
                    if (emits) emit(signal + e, below[e]);
                  }
                });
          __syncthreads();  // the layer is there for all threads
          delta = below;
        }
        if (salient) {
          T* grad_x = scratch + kWideTile * std::int64_t{net.network.hidden_count + a.classes};
          const int out = net.block[0].rows, in = a.inputs;
          const T* weight = a.weight + net.block[0].edge_offset;
          for (int c = 0; c < in; c += kWideTile)
            wide_product<T, Along::terms, Along::results>(
                count, in - c < kWideTile ? in - c : kWideTile, out,
                [&](int i, std::int64_t k) { return delta[std::int64_t{i} * out + k]; },
                [&](int j, std::int64_t k) { return weight[k * in + c + j]; },
                [&](int i, int j, const Quad<T>& sum) {
                  write_quad(grad_x + std::int64_t{i} * in, c + j, in, false, sum);
                });
          __syncthreads();
          add_saliency(a, net, first, count, grad_x, s == 0,
                       m.saliency + (first / kWideTile * a.table.network_count + b) * a.features);
        }
        __syncthreads();  // the next seed overwrites the deltas
      }
    }
  }
}

/// Set `q` of sums from the signal. Blocks (x, y): x walks over networks, y over tiles of sums.
template <class T, class Mine>
__global__ void __launch_bounds__(kThreads) products_wide_kernel(SubjectSums<T> a, int q, const T* signal, Mine mine) {
  const SumTarget<T> target = a.target(q);
  const bool fisher = q == a.objectives;
  const std::int64_t rows = fisher ? a.statistic_rows : a.rows;
  for (int b = static_cast<int>(blockIdx.x); b < a.table.network_count; b += static_cast<int>(gridDim.x)) {
    const SubjectNetwork net(a.table, b);
    if (!mine(net)) continue;
    unsigned tile = 0;
    for (int l = 0; l < net.layers; ++l) {
      const int out = net.block[l].rows, in = net.block[l].cols;
      const T* delta = signal_of(a, net, signal, l);
      const T* source = l > 0 ? net.hidden(a.activation, l - 1, a.rows) : nullptr;
      const T* mean = fisher ? a.mean + net.block[l].source_offset : nullptr;
      for (int o = 0; o < out; o += kWideTile)
        for (int c = 0; c < in; c += kWideTile, ++tile) {
          if (tile % gridDim.y != blockIdx.y) continue;
          if (target.edge)
            wide_product<T, Along::results, Along::results>(
                out - o < kWideTile ? out - o : kWideTile, in - c < kWideTile ? in - c : kWideTile, rows,
                [&](int i, std::int64_t r) { return delta[r * out + o + i]; },
                [&](int j, std::int64_t r) {
                  const T* row = source ? source + r * in : a.input_row(b, r);
                  const T value = row ? row[c + j] : not_a_number<T>();
                  const T centred = fisher ? value - mean[c + j] : T(0);
                  return fisher ? centred * centred : value;
                },
                [&](int i, int j, const Quad<T>& sum) {
                  const std::int64_t e = net.block[l].edge_offset + std::int64_t{o + i} * in + c + j;
#pragma unroll
                  for (int k = 0; k < 4; ++k)
                    if (c + j + k < in) target.put_edge(e + k, sum.value[k]);
                });
          const int i = o + static_cast<int>(threadIdx.x);
          if (target.node == nullptr || c > 0 || threadIdx.x >= kWideTile || i >= out) continue;
          T sum = T(0);
#pragma unroll 8
          for (std::int64_t r = 0; r < rows; ++r) sum += delta[r * out + i];
          target.put_node(net.block[l].target_offset + i, sum);
        }
    }
    if (blockIdx.y == 0) target.clear_inputs(net);
  }
}

template <class T>
void add_saliency_tiles(const SubjectSums<T>& a, std::int64_t tiles, const T* partial, Stream stream) {
  const std::int64_t count = std::int64_t{a.table.network_count} * a.features;
  const T share = T(1) / static_cast<T>(a.statistic_rows) / T(8);
  T* result = a.saliency;
  for_elements(count, stream, [=] __device__(std::int64_t i) {
    T sum = T(0);
    for (std::int64_t t = 0; t < tiles; ++t) sum += partial[t * count + i];
    result[i] = share * sum;
  });
}

template <class T>
class WideSums {
 public:
  WideSums(const SubjectSums<T>& a, const LargestNetwork& most, const DeviceLimits& limits)
      : a_(a),
        nodes_(most.nodes),
        rows_(wide_grid(limits, a.table.network_count, ceil_div(a.rows, kWideTile))),
        products_(wide_grid(limits, a.table.network_count, most.edges / (kWideTile * kWideTile) + 1)),
        tiles_(ceil_div(a.statistic_rows, kWideTile)) {}

  /// Of device memory.
  std::int64_t elements() const { return signal() + blocks_of(rows_) * kWideTile * nodes_ + saliency(); }

  /// The sums of the networks that `mine(net)` picks, and all saliencies.
  template <class Mine>
  void run(const Mine& mine, T* memory, Stream stream) const {
    const WideMemory<T> m{.signal = memory,
                          .scratch = memory + signal(),
                          .saliency = memory + signal() + blocks_of(rows_) * kWideTile * nodes_,
                          .nodes = nodes_};
    for (int q = 0; q < a_.objectives; ++q) {
      launch(deltas_wide_kernel<false, T, Mine>, rows_, dim3(kThreads), 0, stream, a_, q, m, mine);
      launch(products_wide_kernel<T, Mine>, products_, dim3(kThreads), 0, stream, a_, q, m.signal, mine);
    }
    if (!a_.has_fisher() && !a_.saliency) return;
    launch(deltas_wide_kernel<true, T, Mine>, rows_, dim3(kThreads), 0, stream, a_, a_.objectives, m, mine);
    if (a_.has_fisher())
      launch(products_wide_kernel<T, Mine>, products_, dim3(kThreads), 0, stream, a_, a_.objectives, m.signal, mine);
    if (!a_.saliency) return;
    add_saliency_tiles(a_, tiles_, m.saliency, stream);
  }

 private:
  std::int64_t signal() const {
    return (a_.table.hidden_count + std::int64_t{a_.table.network_count} * a_.classes) * a_.rows;
  }
  std::int64_t saliency() const { return a_.saliency ? tiles_ * a_.table.network_count * a_.features : 0; }

  SubjectSums<T> a_;
  int nodes_;
  dim3 rows_, products_;  // grids
  std::int64_t tiles_;
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
