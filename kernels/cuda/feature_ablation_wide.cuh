#pragma once

// feature_ablation for networks that do not fit shared memory: a block takes 64 rows and one feature after the other
// through the layers, which lie in device memory, with the products of subject_wide.cuh.

#include "kernels/cuda/feature_columns.cuh"
#include "kernels/cuda/subject_wide.cuh"
#include "kernels/feature_ablation.hpp"
#include "kernels/softmax_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr int kAblationRows = 32;  // rows of a partial sum: a lane each

template <class T>
struct AblationPass {
  BlockTable table;
  const T *weight, *bias, *x, *logits, *deviation, *gate, *closed_weight, *beta;  // gate and what follows may be null
  const std::int32_t* feature_offset;
  std::int64_t rows, count;
  int inputs, classes, features;
  int limit = 0;         // elements of shared memory that a network may need to stay on chip
  T* partial = nullptr;  // (row tiles, networks, features): sums of divergences

  explicit AblationPass(const FeatureAblation& a)
      : table(a.table),
        weight(a.weight.as<T>()),
        bias(a.bias.as<T>()),
        x(a.x.as<T>()),
        logits(a.logits.as<T>()),
        deviation(a.deviation.as<T>()),
        gate(elements<T>(a.feature_gate)),
        closed_weight(elements<T>(a.closed_weight)),
        beta(elements<T>(a.beta)),
        feature_offset(a.feature_offset.as<std::int32_t>()),
        rows(a.x.extent(0)),
        count(a.deviation.extent(1)),
        inputs(static_cast<int>(a.x.extent(1))),
        classes(static_cast<int>(a.logits.extent(2))),
        features(static_cast<int>(a.feature_offset.count() - 1)) {}

  __device__ bool closed(int network, int feature) const {
    return gate && !(gate[std::int64_t{network} * features + feature] > T(0.5));
  }
  __device__ T& sum(std::int64_t tile, int network, int feature) const {
    return partial[(tile * table.network_count + network) * features + feature];
  }
};

/// The sum over the warp of the divergences of its lanes' rows, those beyond the data left out.
template <class T>
__device__ T divergence_of_warp(const T* zp, const T* zq, int classes, bool inside, bool valid) {
  T value = inside ? divergence_of_row(zp, zq, classes) : T(0);
  if (!valid) value = not_a_number<T>();
  return warp_sum(value);
}

/// `scratch`: 4 kWideTile rows of the largest network's nodes for every block.
template <class T, class Mine>
__global__ void __launch_bounds__(kThreads) ablation_wide_kernel(AblationPass<T> a, int nodes, T* scratch, Mine mine) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t region = std::int64_t{kWideTile} * nodes;
  T* change = scratch + block_index() * 4 * region;  // (columns, kWideTile)
  T *pre = change + region, *buffer[2] = {pre + region, pre + 2 * region};
  for (int b = static_cast<int>(blockIdx.x); b < a.table.network_count; b += static_cast<int>(gridDim.x)) {
    const SubjectNetwork net(a.table, b);
    if (!mine(net)) continue;
    const std::int32_t activation = net.network.activation;
    // y (count, columns of layer l) = what `load` reads times weights, and what `store` makes of it.
    const auto layer = [&](int l, int count, int depth, const auto& a_of, const auto& weight_of, const auto& start,
                           bool activates, T* y) {
      const int out = net.block[l].rows;
      for (int c = 0; c < out; c += kWideTile)
        wide_product<T, Along::results, Along::terms>(
            count, out - c < kWideTile ? out - c : kWideTile, depth, a_of,
            [&](int j, std::int64_t k) { return weight_of(c + j, k); },
            [&](int i, int j, const Quad<T>& sum) {
              T slope;
#pragma unroll
              for (int k = 0; k < 4; ++k) {
                if (c + j + k >= out) continue;
                const T value = sum.value[k] + start(i, c + j + k);
                y[std::int64_t{i} * out + c + j + k] = activates ? activate(activation, value, slope) : value;
              }
            });
      __syncthreads();  // the layer is there for all threads
    };
    const int first_out = net.block[0].rows;
    const T* first_weight = a.weight + net.block[0].edge_offset;
    for (std::int64_t first = blockIdx.y * std::int64_t{kWideTile}; first < a.count;
         first += gridDim.y * std::int64_t{kWideTile}) {
      const int count = static_cast<int>(a.count - first < kWideTile ? a.count - first : kWideTile);
      layer(
          0, count, a.inputs, [&](int i, std::int64_t k) { return a.x[(first + i) * a.inputs + k]; },
          [&](int j, std::int64_t k) { return first_weight[std::int64_t{j} * a.inputs + k]; },
          [&](int, int j) { return a.bias[net.block[0].target_offset + j]; }, false, pre);
      for (int f = 0; f < a.features; ++f) {
        const FeatureColumns columns(a.feature_offset, f, a.inputs);
        const bool closed = a.closed(b, f);
        for (int e = static_cast<int>(threadIdx.x); e < (columns.end - columns.begin) * kWideTile; e += kThreads) {
          const int j = columns.begin + e / kWideTile, i = e % kWideTile;
          if (i >= count) continue;
          const T own = a.deviation[j * a.count + first + i];
          T predicted = T(0);
          for (int k = 0; closed && k < a.inputs; ++k)
            predicted += a.beta[(std::int64_t{b} * a.inputs + j) * a.inputs + k] * a.deviation[k * a.count + first + i];
          change[e] = closed ? own - predicted : -own;
        }
        __syncthreads();
        const T* weight = closed ? a.closed_weight + net.block[0].edge_offset : first_weight;
        layer(
            0, count, columns.end - columns.begin, [&](int i, std::int64_t k) { return change[k * kWideTile + i]; },
            [&](int j, std::int64_t k) { return weight[std::int64_t{j} * a.inputs + columns.begin + k]; },
            [&](int i, int j) { return pre[std::int64_t{i} * first_out + j]; }, net.layers > 1, buffer[0]);
        for (int l = 1; l < net.layers; ++l) {
          const T *source = buffer[(l - 1) % 2], *own = a.weight + net.block[l].edge_offset;
          const int in = net.block[l].cols;
          layer(
              l, count, in, [&](int i, std::int64_t k) { return source[std::int64_t{i} * in + k]; },
              [&](int j, std::int64_t k) { return own[std::int64_t{j} * in + k]; },
              [&](int, int j) { return a.bias[net.block[l].target_offset + j]; }, l + 1 < net.layers, buffer[l % 2]);
        }
        const int r = static_cast<int>(threadIdx.x);
        if (warp * kWarp < count) {
          const T sum = divergence_of_warp(a.logits + (b * a.rows + first + r) * a.classes,
                                           buffer[(net.layers - 1) % 2] + std::int64_t{r} * a.classes, a.classes,
                                           r < count, columns.valid);
          if (lane == 0) a.sum(first / kAblationRows + warp, b, f) = sum;
        }
        __syncthreads();  // the next feature overwrites the layers
      }
    }
  }
}

/// The networks that `mine(net)` picks.
template <class T>
struct WideAblation {
  static constexpr int kRegions = 4;
  dim3 grid;
  int nodes;

  WideAblation(const AblationPass<T>& a, const LargestNetwork& most, const DeviceLimits& limits)
      : grid(wide_grid(limits, a.table.network_count, ceil_div(a.count, kWideTile))), nodes(most.nodes) {}
  std::int64_t elements() const { return blocks_of(grid) * kRegions * kWideTile * nodes; }
  template <class Mine>
  void run(const AblationPass<T>& a, const Mine& mine, T* scratch, Stream stream) const {
    launch(ablation_wide_kernel<T, Mine>, grid, dim3(kThreads), 0, stream, a, nodes, scratch, mine);
  }
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
