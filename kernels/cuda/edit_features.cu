// Features of neurons, and what the features of weights are held against: sums over a block of the table first, in
// float64, then one pass over its weights and neurons. A thread block a block of the table, several for large ones
// (kernels/cuda/edit_features.cuh), a warp a target row. Batches of small networks take one launch, large blocks one or
// two before it for their sums. Bytes a weight: 4 (3 + 1) at first, 4 (1 + 2 objectives) in a refinement; sums read
// weights a second time, mostly from the cache. Operations a weight: a logarithm or, for each objective, an
// exponential, about 30.
#include "kernels/edit_features.hpp"

#include <cmath>

#include "kernels/cuda/refine_features.cuh"
#include "kernels/feature_arguments.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

enum FirstSum { kSquares, kFisher, kSaliency, kGradient, kNewton, kFirstSums };

template <class T>
struct First {
  BlockTable table;
  const T *weight, *bias, *fisher, *fisher_bias, *mean, *rms, *correlation, *gradient, *gradient_bias, *lambda,
      *neuron_lambda;
  T *scale, *edge_scales, *energy, *node_feature, *prior, *neuron_prior;
  double* partial;  // (chunks, kFirstSums)

  First(const EditFeatures& a, Stream stream)
      : table(a.table),
        weight(a.weight.as<T>()),
        bias(a.bias.as<T>()),
        fisher(a.fisher.as<T>()),
        fisher_bias(a.fisher_bias.as<T>()),
        mean(a.mean.as<T>()),
        rms(a.rms.as<T>()),
        correlation(a.correlation.as<T>()),
        gradient(elements<T>(a.gradient)),
        gradient_bias(elements<T>(a.gradient_bias)),
        lambda(elements<T>(a.lambda)),
        neuron_lambda(elements<T>(a.neuron_lambda)),
        scale(a.scale.as<T>()),
        edge_scales(a.edge_scales.as<T>()),
        energy(a.energy.as<T>()),
        node_feature(a.node_feature.as<T>()),
        prior(elements<T>(a.prior)),
        neuron_prior(elements<T>(a.neuron_prior)),
        partial(may_cut(table) ? workspace<double>(stream, first_partial(table.edge_count) * kFirstSums) : nullptr) {}

  __device__ T saliency(std::int64_t k) const { return weight[k] * weight[k] * fisher[k]; }
  /// Of the chunk's weights, all but kNewton; in every thread.
  __device__ void add_up(const Chunk& chunk, double* sum) const {
    for (int i = 0; i < kNewton; ++i) sum[i] = 0;
    for (std::int64_t k = chunk.first + threadIdx.x; k < chunk.last; k += kThreads) {
      const double w = static_cast<double>(weight[k]), g = gradient ? static_cast<double>(gradient[k]) : 0.0;
      sum[kSquares] += w * w;
      sum[kFisher] += static_cast<double>(fisher[k]);
      sum[kSaliency] += static_cast<double>(saliency(k));
      sum[kGradient] += g * g;
    }
    for (int i = 0; i < kNewton; ++i) sum[i] = block_sum(sum[i]);
  }
  __device__ T mean_fisher(const Block& block, double sum) const { return block_mean<T>(sum, block) + T(1e-9); }
  __device__ double newton_squares(const Chunk& chunk, T fisher_mean) const {
    return sum_over(chunk.first, chunk.last, [&](std::int64_t k) {
      const T newton = newton_step(gradient[k], fisher[k], fisher_mean);
      return static_cast<double>(newton * newton);
    });
  }
  __device__ EdgeScales<T> scales(const Block& block, const double* sum) const {
    const T eighth = static_cast<T>(table.network[block.network].edge_count) / T(8);
    return {.scale = block_root_mean<T>(sum[kSquares], block) + T(1e-6),
            .mean_fisher = mean_fisher(block, sum[kFisher]),
            .mean_saliency = block_mean<T>(sum[kSaliency], block) * eighth + T(1e-9),
            .gradient_rms = block_root_mean<T>(sum[kGradient], block) + T(1e-9),
            .newton_rms = block_root_mean<T>(sum[kNewton], block) + T(1e-9),
            .eighth = eighth,
            .log_lambda = lambda ? log_of_lambda(lambda[block.network]) : T(0),
            .prior = lambda ? T(1) : T(0)};
  }

  /// The energy of a target neuron and the priors of what leads to it, by a warp.
  __device__ void row(const Block& block, std::int64_t i, const EdgeScales<T>& scales) const {
    const auto lane = static_cast<std::int32_t>(threadIdx.x % kWarp);
    const std::int64_t first = block.edge_offset + i * block.cols;
    T sum = T(0);
    for (std::int32_t j = lane; j < block.cols; j += kWarp) {
      const T w = weight[first + j], r = rms[block.source_offset + j];
      sum += w * w * r * r;
      if (prior) prior[first + j] = edge_prior(scales, log_of_saliency(scales, w, fisher[first + j]));
    }
    sum = warp_sum(sum);
    if (lane == 0) energy[block.target_offset + i] = std::sqrt(sum) + T(1e-6);
  }
  /// Features of the block's target neurons, and of the input neurons by the first block.
  __device__ void nodes(const Block& block, std::int64_t layer, T block_scale) const {
    const Network& network = table.network[block.network];
    const auto write = [&](std::int64_t node, const NodePlace<T>& at) {
      node_features(at, bias[node], fisher_bias[node], gradient_bias ? gradient_bias[node] : T(0), mean[node],
                    rms[node], correlation[node], node_feature + node * kNodeFeatures);
    };
    const T blocks = static_cast<T>(network.block_count);
    for (std::int64_t i = threadIdx.x; i < block.rows; i += kThreads)
      write(block.target_offset + i, {.kind = layer + 1 == network.block_count ? 2 : 1,
                                      .depth = static_cast<T>(layer + 1) / blocks,
                                      .has_block = true,
                                      .scale = block_scale,
                                      .cols = static_cast<T>(block.cols)});
    if (layer != 0) return;
    for (std::int64_t j = threadIdx.x; j < block.cols; j += kThreads) {
      write(block.source_offset + j, {.kind = 0, .depth = T(0), .has_block = false, .scale = T(0), .cols = T(0)});
      energy[block.source_offset + j] = T(0);
    }
  }
  /// Priors of the block's source neurons that are this chunk's, a thread each; the last block also has the outputs'.
  __device__ void neuron_priors(const Block& block, std::int64_t layer, const Chunk& chunk) const {
    const Network& network = table.network[block.network];
    const T log_lambda = log_of_lambda(neuron_lambda[block.network]);
    for (std::int64_t j = chunk.index * kThreads + threadIdx.x; j < block.cols; j += chunk.count * kThreads) {
      T sum = T(0);
      for (std::int64_t i = 0; layer > 0 && i < block.rows; ++i)
        sum += saliency(block.edge_offset + i * block.cols + j);
      this->neuron_prior[block.source_offset + j] =
          layer > 0 ? kernels::neuron_prior(sum, static_cast<T>(network.hidden_count), log_lambda) : T(0);
    }
    if (layer + 1 != network.block_count || chunk.index != 0) return;
    for (std::int64_t i = threadIdx.x; i < block.rows; i += kThreads)
      this->neuron_prior[block.target_offset + i] = T(0);
  }
};

/// The sums of blocks of several chunks; the second time, with `newton`, those that need the first.
template <class T>
__global__ void __launch_bounds__(kThreads) first_sums_kernel(First<T> in, bool newton) {
  const Block block = in.table.block[blockIdx.x];
  for_chunks(block, [&](const Chunk& chunk) {
    if (chunk.count == 1) return;
    double* partial = in.partial + (first_partial(block.edge_offset) + chunk.index) * kFirstSums;
    if (newton) {
      const T fisher = in.mean_fisher(block, sum_of_partials(in.partial, block, chunk.count, kFirstSums, kFisher));
      const double squares = in.newton_squares(chunk, fisher);
      if (threadIdx.x == 0) partial[kNewton] = squares;
      return;
    }
    double sum[kFirstSums];
    in.add_up(chunk, sum);
    if (threadIdx.x != 0) return;
    for (int i = 0; i < kNewton; ++i) partial[i] = sum[i];
    partial[kNewton] = 0;
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads, 3) first_kernel(First<T> in) {
  const Block block = in.table.block[blockIdx.x];
  const std::int64_t layer = std::int64_t{blockIdx.x} - in.table.network[block.network].first_block;
  for_chunks(block, [&](const Chunk& chunk) {
    double sum[kFirstSums] = {};
    if (chunk.count == 1) {
      in.add_up(chunk, sum);
      if (in.gradient) sum[kNewton] = in.newton_squares(chunk, in.mean_fisher(block, sum[kFisher]));
    } else {
      for (int i = 0; i < kFirstSums; ++i) sum[i] = sum_of_partials(in.partial, block, chunk.count, kFirstSums, i);
    }
    const EdgeScales<T> scales = in.scales(block, sum);
    for (std::int64_t i = chunk.first_row + threadIdx.x / kWarp; i < chunk.last_row; i += kFeatureWarps)
      in.row(block, i, scales);
    if (chunk.index == 0) {
      if (threadIdx.x == 0) {
        in.scale[blockIdx.x] = scales.scale;
        scales.store(in.edge_scales + blockIdx.x * kEdgeScales);
      }
      in.nodes(block, layer, scales.scale);
    }
    if (in.neuron_lambda) in.neuron_priors(block, layer, chunk);
  });
}

template <class T>
void first_features(const EditFeatures& a, Stream stream) {
  const First<T> in(a, stream);
  const dim3 grid = chunk_grid(a.table);
  if (may_cut(a.table)) {
    launch(first_sums_kernel<T>, grid, dim3(kThreads), 0, stream, in, false);
    if (in.gradient) launch(first_sums_kernel<T>, grid, dim3(kThreads), 0, stream, in, true);
  }
  launch(first_kernel<T>, grid, dim3(kThreads), 0, stream, in);
}

template <class T>
__global__ void __launch_bounds__(kThreads) refine_sums_kernel(Refine<T> in) {
  const Block block = in.table.block[blockIdx.x];
  for_chunks(block, [&](const Chunk& chunk) {
    if (chunk.count == 1) return;
    for (std::int32_t i = 0; i <= in.objectives; ++i) {
      const double sum = in.add_up(chunk, i);
      if (threadIdx.x == 0)
        in.partial[(first_partial(block.edge_offset) + chunk.index) * (1 + in.objectives) + i] = sum;
    }
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads) refine_kernel(Refine<T> in) {
  const Block block = in.table.block[blockIdx.x];
  const T scale = in.scale[blockIdx.x];
  for_chunks(block, [&](const Chunk& chunk) {
    in.edges(block, scale, chunk);
    if (chunk.index == 0) in.nodes(block, scale);
  });
}

template <class T>
void refined_features(const RefineFeatures& a, Stream stream) {
  const Refine<T> in(a, stream);
  const dim3 grid = chunk_grid(a.table);
  if (may_cut(a.table)) launch(refine_sums_kernel<T>, grid, dim3(kThreads), 0, stream, in);
  launch(refine_kernel<T>, grid, dim3(kThreads), 0, stream, in);
}

}  // namespace

void edit_features(const EditFeatures& args, Stream stream) {
  validate(args);
  dispatch_float("edit_features", args.weight.dtype, [&](auto zero) { first_features<decltype(zero)>(args, stream); });
}

void refine_features(const RefineFeatures& args, Stream stream) {
  validate(args);
  dispatch_float("refine_features", args.fisher.dtype,
                 [&](auto zero) { refined_features<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
