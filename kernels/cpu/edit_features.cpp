// Features of neurons, a network a task, and what the features of weights are held against, a block a task. Bytes an
// edge: 4 (3 + 1) at first, 4 (1 + 2 objectives) in a refinement; sums read a block again, from the cache. Operations:
// a logarithm an edge, or an exponential an edge and objective.
#include "kernels/edit_features.hpp"

#include <cmath>

#include "kernels/cpu/block_chunk.hpp"
#include "kernels/cpu/lane_sums.hpp"
#include "kernels/feature_arguments.hpp"
#include "kernels/feature_math.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
T root_mean_square(const T* x, std::int64_t count) {
  const double sum =
      lane_sum<double>(count, [x](std::int64_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
  return static_cast<T>(std::sqrt(sum / static_cast<double>(std::max<std::int64_t>(count, 1))));
}

template <class T>
T mean_of(const T* x, std::int64_t count) {
  const double sum = lane_sum<double>(count, [x](std::int64_t i) { return static_cast<double>(x[i]); });
  return static_cast<T>(sum / static_cast<double>(std::max<std::int64_t>(count, 1)));
}

/// What the features of a block's weights are held against, the energies of its target neurons, the priors.
template <class T>
void describe_block(const EditFeatures& a, std::int64_t b) {
  const Block& block = a.table.block[b];
  const std::int64_t count = std::int64_t{block.rows} * block.cols;
  const T* weight = a.weight.as<T>() + block.edge_offset;
  const T* fisher = a.fisher.as<T>() + block.edge_offset;
  const T* rms = a.rms.as<T>() + block.source_offset;
  const T* gradient = a.gradient ? a.gradient.as<T>() + block.edge_offset : nullptr;
  const T mean_fisher = mean_of(fisher, count) + T(1e-9);
  const T eighth = static_cast<T>(a.table.network[block.network].edge_count) / T(8);
  const T saliency = lane_sum<T>(count, [=](std::int64_t k) { return weight[k] * weight[k] * fisher[k]; });
  const T mean_saliency = saliency * eighth / static_cast<T>(std::max<std::int64_t>(count, 1)) + T(1e-9);
  T gradient_rms = T(1e-9), newton_rms = T(1e-9);
  if (gradient) {
    gradient_rms += root_mean_square(gradient, count);
    const double squares = lane_sum<double>(count, [=](std::int64_t k) {
      const T newton = newton_step(gradient[k], fisher[k], mean_fisher);
      return static_cast<double>(newton * newton);
    });
    newton_rms += static_cast<T>(std::sqrt(squares / static_cast<double>(count)));
  }
  const EdgeScales<T> scales{.scale = root_mean_square(weight, count) + T(1e-6),
                             .mean_fisher = mean_fisher,
                             .mean_saliency = mean_saliency,
                             .gradient_rms = gradient_rms,
                             .newton_rms = newton_rms,
                             .eighth = eighth,
                             .log_lambda = a.lambda ? log_of_lambda(a.lambda.as<T>()[block.network]) : T(0),
                             .prior = a.lambda ? T(1) : T(0)};
  a.scale.as<T>()[b] = scales.scale;
  scales.store(a.edge_scales.as<T>() + b * kEdgeScales);
  T* energy = a.energy.as<T>() + block.target_offset;
  for (std::int64_t i = 0; i < block.rows; ++i) {
    const T* row = weight + i * block.cols;
    energy[i] =
        std::sqrt(lane_sum<T>(block.cols, [=](std::int64_t j) { return row[j] * row[j] * rms[j] * rms[j]; })) + T(1e-6);
  }
  if (!a.prior) return;
  T* prior = a.prior.as<T>() + block.edge_offset;
  for (std::int64_t k = 0; k < count; ++k) prior[k] = edge_prior(scales, log_of_saliency(scales, weight[k], fisher[k]));
}

/// Features of the nodes of one network; `scale` must be known.
template <class T>
void node_features_of_network(const EditFeatures& a, std::int64_t n) {
  const Network& network = a.table.network[n];
  const T *bias = a.bias.as<T>(), *fisher_bias = a.fisher_bias.as<T>(), *mean = a.mean.as<T>(), *rms = a.rms.as<T>();
  const T *correlation = a.correlation.as<T>(), *gradient_bias = elements<T>(a.gradient_bias);
  const T* scale = a.scale.as<T>();
  T* feature = a.node_feature.as<T>();
  std::fill_n(a.energy.as<T>() + network.node_offset, network.inputs, T(0));
  const auto fill = [&](std::int64_t node, std::int64_t depth, int kind, std::int32_t into) {
    const NodePlace<T> at{.kind = kind,
                          .depth = static_cast<T>(depth) / static_cast<T>(network.block_count),
                          .has_block = into >= 0,
                          .scale = into >= 0 ? scale[into] : T(0),
                          .cols = into >= 0 ? static_cast<T>(a.table.block[into].cols) : T(0)};
    node_features(at, bias[node], fisher_bias[node], gradient_bias ? gradient_bias[node] : T(0), mean[node], rms[node],
                  correlation[node], feature + node * kNodeFeatures);
  };
  for (std::int64_t k = 0; k < network.inputs; ++k) fill(network.node_offset + k, 0, 0, -1);
  for (std::int32_t l = 0; l < network.block_count; ++l) {
    const std::int32_t b = network.first_block + l;
    for (std::int64_t k = 0; k < a.table.block[b].rows; ++k)
      fill(a.table.block[b].target_offset + k, l + 1, l + 1 == network.block_count ? 2 : 1, b);
  }
}

template <class T>
void neuron_prior_of_network(const EditFeatures& a, std::int64_t n) {
  const Network& network = a.table.network[n];
  const T *weight = a.weight.as<T>(), *fisher = a.fisher.as<T>();
  T* prior = a.neuron_prior.as<T>();
  const T log_lambda = log_of_lambda(a.neuron_lambda.as<T>()[n]);
  std::fill_n(prior + network.node_offset, network.node_count, T(0));
  for (std::int32_t b = network.first_block + 1; b < network.first_block + network.block_count; ++b) {
    const Block& block = a.table.block[b];
    for (std::int64_t j = 0; j < block.cols; ++j) {
      T saliency = 0;
      for (std::int64_t i = 0; i < block.rows; ++i) {
        const std::int64_t k = block.edge_offset + i * block.cols + j;
        saliency += weight[k] * weight[k] * fisher[k];
      }
      prior[block.source_offset + j] = neuron_prior(saliency, static_cast<T>(network.hidden_count), log_lambda);
    }
  }
}

/// What the features of a block's weights are held against.
template <class T>
void describe_refined_block(const RefineFeatures& a, std::int64_t b) {
  const Block& block = a.table.block[b];
  const std::int64_t count = std::int64_t{block.rows} * block.cols, objectives = a.gradient.extent(0);
  const T lambda = at_least(a.lambda.as<T>()[block.network], T(1e-8));
  const RefineScales<T> scales{.scale = a.scale.as<T>()[b],
                               .mean_fisher = mean_of(a.fisher.as<T>() + block.edge_offset, count) + T(1e-7),
                               .n = static_cast<T>(a.table.network[block.network].edge_count),
                               .lambda = lambda,
                               .log_lambda = logarithm(lambda)};
  T* to = a.edge_scales.as<T>() + b * refine_edge_scales(objectives);
  scales.store(to);
  for (std::int64_t o = 0; o < objectives; ++o) {
    const T* gradient = a.gradient.as<T>() + o * a.table.edge_count + block.edge_offset;
    to[refine_edge_scales(0) + o] = root_mean_square(gradient, count) + T(1e-9);
  }
}

/// The Newton steps of the edges of a chunk; the scales of its block must be known.
template <class T>
void steps_of_chunk(const RefineFeatures& a, const BlockChunk& chunk) {
  constexpr std::int64_t kTile = 256;
  const Block& block = a.table.block[chunk.block];
  const std::int64_t objectives = a.gradient.extent(0), count = std::int64_t{chunk.row_count} * block.cols,
                     first = block.edge_offset + std::int64_t{chunk.first_row} * block.cols;
  const auto scales = RefineScales<T>::load(a.edge_scales.as<T>() + chunk.block * refine_edge_scales(objectives));
  for (std::int64_t begin = first; begin < first + count; begin += kTile) {
    const std::int64_t some = std::min(kTile, first + count - begin);
    const T* fisher = a.fisher.as<T>() + begin;
    T* step = a.edge_step.as<T>() + begin * objectives;
    for (std::int64_t o = 0; o < objectives; ++o) {
      const T* gradient = a.gradient.as<T>() + o * a.table.edge_count + begin;
      T own[kTile];
      for (std::int64_t k = 0; k < some; ++k) own[k] = refine_step(scales, fisher[k], gradient[k]);
      for (std::int64_t k = 0; k < some; ++k) step[k * objectives + o] = own[k];
    }
  }
}

template <class T>
void refine_nodes_of_network(const RefineFeatures& a, std::int64_t n) {
  const Network& network = a.table.network[n];
  const std::int64_t objectives = a.gradient.extent(0), features = refine_node_features(objectives),
                     nodes = a.table.node_count;
  const T *mean = a.mean.as<T>(), *rms = a.rms.as<T>(), *original_mean = a.original_mean.as<T>();
  const T *original_rms = a.original_rms.as<T>(), *correlation = a.correlation.as<T>();
  const T *fisher = a.fisher_bias.as<T>(), *original_fisher = a.original_fisher_bias.as<T>();
  const T *bias = a.edited_bias.as<T>(), *residual = a.bias_residual.as<T>(), *gradient = a.gradient_bias.as<T>();
  T *feature = a.node_feature.as<T>(), *step = a.node_step.as<T>();
  std::fill_n(feature + network.node_offset * features, network.node_count * features, T(0));
  std::fill_n(step + network.node_offset * objectives, network.node_count * objectives, T(0));
  for (std::int32_t l = 0; l < network.block_count; ++l) {
    const std::int32_t b = network.first_block + l;
    const Block& block = a.table.block[b];
    const T scale = a.scale.as<T>()[b];
    for (std::int64_t node = block.source_offset; node < block.source_offset + block.cols; ++node) {
      refine_features_of_source(mean[node], original_mean[node], rms[node], original_rms[node], correlation[node],
                                feature + node * features);
    }
    const T mean_fisher = mean_of(fisher + block.target_offset, block.rows);
    for (std::int64_t node = block.target_offset; node < block.target_offset + block.rows; ++node) {
      T* f = feature + node * features;
      refine_features_of_target(scale, bias[node], residual[node], fisher[node], original_fisher[node], f);
      for (std::int64_t o = 0; o < objectives; ++o)
        step[node * objectives + o] =
            refine_features_of_bias(scale, fisher[node], mean_fisher, gradient[o * nodes + node], f + 8 + 2 * o);
    }
  }
}

}  // namespace

void edit_features(const EditFeatures& args, Stream) {
  validate(args);
  dispatch_float("edit_features", args.weight.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for(args.table.block_count, [&](std::int64_t b) { describe_block<T>(args, b); });
    parallel_for(args.table.network_count, [&](std::int64_t n) {
      node_features_of_network<T>(args, n);
      if (args.neuron_lambda) neuron_prior_of_network<T>(args, n);
    });
  });
}

void refine_features(const RefineFeatures& args, Stream) {
  validate(args);
  dispatch_float("refine_features", args.fisher.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for(args.table.block_count, [&](std::int64_t b) { describe_refined_block<T>(args, b); });
    const ChunkList& list = block_chunks(args.table);
    parallel_for(
        static_cast<std::int64_t>(list.chunk.size()),
        [&](std::int64_t c) { steps_of_chunk<T>(args, list.chunk[static_cast<std::size_t>(c)]); },
        args.table.edge_count >= kWorthwhileEdges);
    parallel_for(args.table.network_count, [&](std::int64_t n) { refine_nodes_of_network<T>(args, n); });
  });
}

}  // namespace amend::kernels::cpu
