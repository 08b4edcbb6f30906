#pragma once

// What a refinement pass reads of neurons, and what its features of weights are held against, for the thread block of a
// chunk.

#include "kernels/cuda/edit_features.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

template <class T>
struct Refine {
  BlockTable table;
  std::int32_t objectives;
  const T *edited_bias, *scale, *bias_residual, *fisher, *fisher_bias, *mean, *rms, *correlation, *original_fisher_bias,
      *original_mean, *original_rms, *gradient, *gradient_bias, *lambda;
  T *edge_scales, *edge_step, *node_feature, *node_step;
  double* partial;  // (chunks, 1 + objectives): Fisher, squares of the gradients

  Refine(const RefineFeatures& a, Stream stream)
      : table(a.table),
        objectives(static_cast<std::int32_t>(a.gradient.extent(0))),
        edited_bias(a.edited_bias.as<T>()),
        scale(a.scale.as<T>()),
        bias_residual(a.bias_residual.as<T>()),
        fisher(a.fisher.as<T>()),
        fisher_bias(a.fisher_bias.as<T>()),
        mean(a.mean.as<T>()),
        rms(a.rms.as<T>()),
        correlation(a.correlation.as<T>()),
        original_fisher_bias(a.original_fisher_bias.as<T>()),
        original_mean(a.original_mean.as<T>()),
        original_rms(a.original_rms.as<T>()),
        gradient(a.gradient.as<T>()),
        gradient_bias(a.gradient_bias.as<T>()),
        lambda(a.lambda.as<T>()),
        edge_scales(a.edge_scales.as<T>()),
        edge_step(a.edge_step.as<T>()),
        node_feature(a.node_feature.as<T>()),
        node_step(a.node_step.as<T>()),
        partial(may_cut(table) ? workspace<double>(stream, first_partial(table.edge_count) * (1 + objectives))
                               : nullptr) {}

  /// Sum i over the chunk's weights: of the Fisher information, then of the squares of each gradient.
  __device__ double add_up(const Chunk& chunk, std::int32_t i) const {
    if (i == 0)
      return sum_over(chunk.first, chunk.last, [&](std::int64_t k) { return static_cast<double>(fisher[k]); });
    const T* own = gradient + (i - 1) * table.edge_count;
    return sum_over(chunk.first, chunk.last,
                    [&](std::int64_t k) { return static_cast<double>(own[k]) * static_cast<double>(own[k]); });
  }
  __device__ double sum(const Block& block, const Chunk& chunk, std::int32_t i) const {
    return chunk.count == 1 ? add_up(chunk, i) : sum_of_partials(partial, block, chunk.count, 1 + objectives, i);
  }

  __device__ void edges(const Block& block, T block_scale, const Chunk& chunk) const {
    const T own_lambda = at_least(lambda[block.network], T(1e-8));
    const RefineScales<T> scales{.scale = block_scale,
                                 .mean_fisher = block_mean<T>(sum(block, chunk, 0), block) + T(1e-7),
                                 .n = static_cast<T>(table.network[block.network].edge_count),
                                 .lambda = own_lambda,
                                 .log_lambda = logarithm(own_lambda)};
    T* to = edge_scales + blockIdx.x * refine_edge_scales(objectives);
    const bool first = chunk.index == 0;
    if (first && threadIdx.x == 0) scales.store(to);
    for (std::int32_t o = 0; o < objectives; ++o) {
      if (first) {
        const T gradient_rms = block_root_mean<T>(sum(block, chunk, 1 + o), block) + T(1e-9);
        if (threadIdx.x == 0) to[refine_edge_scales(0) + o] = gradient_rms;
      }
      for (std::int64_t k = chunk.first + threadIdx.x; k < chunk.last; k += kThreads)
        edge_step[k * objectives + o] = refine_step(scales, fisher[k], gradient[o * table.edge_count + k]);
    }
  }

  /// What a block writes of its ends: features of its sources, features and steps of its targets, and zeros where no
  /// block reads or leads to a neuron.
  __device__ void nodes(const Block& block, T block_scale) const {
    const std::int64_t width = refine_node_features(objectives), count = table.node_count;
    const Network& network = table.network[block.network];
    const bool is_first = block.source_offset == network.node_offset,
               is_last = block.target_offset + block.rows == network.node_offset + network.node_count;
    for (std::int64_t node = block.source_offset + threadIdx.x; node < block.source_offset + block.cols;
         node += kThreads) {
      T* f = node_feature + node * width;
      refine_features_of_source(mean[node], original_mean[node], rms[node], original_rms[node], correlation[node], f);
      if (!is_first) continue;
      for (std::int64_t i = 4; i < width; ++i) f[i] = T(0);
      for (std::int32_t o = 0; o < objectives; ++o) node_step[node * objectives + o] = T(0);
    }
    const std::int64_t begin = block.target_offset, end = begin + block.rows;
    const double fisher_sum =
        sum_over(begin, end, [&](std::int64_t node) { return static_cast<double>(fisher_bias[node]); });
    const T mean_fisher = static_cast<T>(fisher_sum / static_cast<double>(block.rows));
    for (std::int64_t node = begin + threadIdx.x; node < end; node += kThreads) {
      T* f = node_feature + node * width;
      for (std::int64_t i = 0; is_last && i < 4; ++i) f[i] = T(0);
      refine_features_of_target(block_scale, edited_bias[node], bias_residual[node], fisher_bias[node],
                                original_fisher_bias[node], f);
      for (std::int32_t o = 0; o < objectives; ++o)
        node_step[node * objectives + o] = refine_features_of_bias(block_scale, fisher_bias[node], mean_fisher,
                                                                   gradient_bias[o * count + node], f + 8 + 2 * o);
    }
  }
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
