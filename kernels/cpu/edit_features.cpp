// Features of weights and neurons, a block a task: sums over the block first, then one pass over its edges.
// Bytes an edge: 4 (3 + 16) at first, 4 (7 + 6 objectives) in a refinement. Operations: 6 to 12 logarithms an edge.
#include "kernels/edit_features.hpp"

#include <cmath>
#include <type_traits>

#include "kernels/cpu/tile.hpp"
#include "kernels/feature_math.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
const T* optional(const TensorView& view) {
  return view ? view.as<T>() : nullptr;
}

template <class T>
T root_mean_square(const T* x, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return static_cast<T>(std::sqrt(sum / static_cast<double>(std::max<std::int64_t>(count, 1))));
}

template <class T>
T mean_of(const T* x, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]);
  return static_cast<T>(sum / static_cast<double>(std::max<std::int64_t>(count, 1)));
}

/// `body(first, second)` with both as constants: what it inlines has no branches on them.
template <class Body>
void with_constants(bool first, bool second, const Body& body) {
  const auto of_first = [&](auto constant) {
    if (second)
      body(constant, std::true_type{});
    else
      body(constant, std::false_type{});
  };
  if (first)
    of_first(std::true_type{});
  else
    of_first(std::false_type{});
}

/// Where the results for consecutive weights go: rows of some features, and one number each.
template <class T>
struct FeatureRows {
  T* feature;
  std::int64_t stride;
  T* extra;  // or null
  std::int64_t extra_stride;
};

/// `body(j, row)` for j < count: it fills the kWidth features of row j and returns its number. They are formed column
/// by column, so that the loop over rows vectorises.
template <std::int64_t kWidth, class T, class Body>
[[gnu::always_inline]] inline void in_columns(std::int64_t count, FeatureRows<T> to, Body body) {
  constexpr std::int64_t kRows = 64;
  T column[kWidth][kRows], extra[kRows];
  for (std::int64_t begin = 0; begin < count; begin += kRows) {
    const std::int64_t rows = std::min(kRows, count - begin);
    for (std::int64_t k = 0; k < rows; ++k) {
      T row[kWidth];
      extra[k] = body(begin + k, row);
      for (std::int64_t c = 0; c < kWidth; ++c) column[c][k] = row[c];
    }
    for (std::int64_t k = 0; k < rows; ++k)
      for (std::int64_t c = 0; c < kWidth; ++c) to.feature[(begin + k) * to.stride + c] = column[c][k];
    if (to.extra)
      for (std::int64_t k = 0; k < rows; ++k) to.extra[(begin + k) * to.extra_stride] = extra[k];
  }
}

template <class T>
void edge_features_of_block(const EditFeatures& a, std::int64_t b) {
  const Block& block = a.table.block[b];
  const std::int64_t count = std::int64_t{block.rows} * block.cols;
  const T* weight = a.weight.as<T>() + block.edge_offset;
  const T* fisher = a.fisher.as<T>() + block.edge_offset;
  const T* rms = a.rms.as<T>() + block.source_offset;
  const T* gradient = a.gradient ? a.gradient.as<T>() + block.edge_offset : nullptr;
  T* feature = a.edge_feature.as<T>() + block.edge_offset * kEdgeFeatures;
  T* prior = a.prior ? a.prior.as<T>() + block.edge_offset : nullptr;
  const T scale = root_mean_square(weight, count) + T(1e-6);
  a.scale.as<T>()[b] = scale;
  const T mean_fisher = mean_of(fisher, count) + T(1e-9);
  const T eighth = static_cast<T>(a.table.network[block.network].edge_count) / T(8);
  T mean_saliency = 0;
  for (std::int64_t k = 0; k < count; ++k) mean_saliency += weight[k] * weight[k] * fisher[k];
  mean_saliency = mean_saliency * eighth / static_cast<T>(std::max<std::int64_t>(count, 1)) + T(1e-9);
  T gradient_rms = T(1e-9), newton_rms = T(1e-9);
  if (gradient) {
    gradient_rms += root_mean_square(gradient, count);
    double squares = 0;
    for (std::int64_t k = 0; k < count; ++k) {
      const T newton = newton_step(gradient[k], fisher[k], mean_fisher);
      squares += static_cast<double>(newton * newton);
    }
    newton_rms += static_cast<T>(std::sqrt(squares / static_cast<double>(count)));
  }
  const EdgeScales<T> scales{.scale = scale,
                             .mean_fisher = mean_fisher,
                             .mean_saliency = mean_saliency,
                             .gradient_rms = gradient_rms,
                             .newton_rms = newton_rms,
                             .eighth = eighth,
                             .log_lambda = a.lambda ? log_of_lambda(a.lambda.as<T>()[block.network]) : T(0),
                             .gradient = gradient != nullptr,
                             .prior = static_cast<bool>(a.lambda),
                             .kind = static_cast<int>(block.kind)};
  for (std::int64_t i = 0; i < block.rows; ++i) {
    T energy = 0;
    for (std::int64_t j = 0; j < block.cols; ++j)
      energy += weight[i * block.cols + j] * weight[i * block.cols + j] * rms[j] * rms[j];
    energy = std::sqrt(energy) + T(1e-6);
    const std::int64_t first = i * block.cols;
    with_constants(gradient != nullptr, prior != nullptr, [&](auto has_gradient, auto has_prior) {
      EdgeScales<T> own = scales;
      own.gradient = has_gradient();
      own.prior = has_prior();
      const T* slope = has_gradient() ? gradient : weight;  // not read without
      const FeatureRows<T> to{feature + first * kEdgeFeatures, kEdgeFeatures, prior ? prior + first : nullptr, 1};
      // By value: what the loop reads cannot be what it writes.
      in_columns<kEdgeFeatures>(block.cols, to, [=](std::int64_t j, T* f) {
        const std::int64_t k = first + j;
        return edge_features(own, weight[k], fisher[k], slope[k], rms[j], energy, f);
      });
    });
  }
}

/// Features of the nodes of one network; `scale` must be known.
template <class T>
void node_features_of_network(const EditFeatures& a, std::int64_t n) {
  const Network& network = a.table.network[n];
  const T *bias = a.bias.as<T>(), *fisher_bias = a.fisher_bias.as<T>(), *mean = a.mean.as<T>(), *rms = a.rms.as<T>();
  const T *correlation = a.correlation.as<T>(), *gradient_bias = optional<T>(a.gradient_bias);
  const T* scale = a.scale.as<T>();
  T* feature = a.node_feature.as<T>();
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

template <class T>
void refine_edges_of_block(const RefineFeatures& a, std::int64_t b) {
  const Block& block = a.table.block[b];
  const std::int64_t count = std::int64_t{block.rows} * block.cols, objectives = a.gradient.extent(0);
  const std::int64_t features = refine_edge_features(objectives), edges = a.table.edge_count;
  const T *weight = a.weight.as<T>() + block.edge_offset, *edited = a.edited_weight.as<T>() + block.edge_offset;
  const T *logit = a.logit.as<T>() + block.edge_offset, *residual = a.residual.as<T>() + block.edge_offset;
  const T* fisher = a.fisher.as<T>() + block.edge_offset;
  T* feature = a.edge_feature.as<T>() + block.edge_offset * features;
  T* step = a.edge_step.as<T>() + block.edge_offset * objectives;
  const T scale = a.scale.as<T>()[b], mean_fisher = mean_of(fisher, count) + T(1e-7);
  const T lambda = at_least(a.lambda.as<T>()[block.network], T(1e-8));
  const RefineScales<T> scales{.scale = scale,
                               .mean_fisher = mean_fisher,
                               .n = static_cast<T>(a.table.network[block.network].edge_count),
                               .lambda = lambda,
                               .log_lambda = logarithm(lambda)};
  in_columns<5>(count, FeatureRows<T>{feature, features, nullptr, 0}, [=](std::int64_t k, T* f) {
    refine_features_of_edge(scales, edited[k], logit[k], residual[k], fisher[k], f);
    return T(0);
  });
  for (std::int64_t o = 0; o < objectives; ++o) {
    const T* gradient = a.gradient.as<T>() + o * edges + block.edge_offset;
    const T gradient_rms = root_mean_square(gradient, count) + T(1e-9);
    in_columns<4>(
        count, FeatureRows<T>{feature + 5 + 4 * o, features, step + o, objectives}, [=](std::int64_t k, T* f) {
          return refine_features_of_gradient(scales, weight[k], edited[k], fisher[k], gradient[k], gradient_rms, f);
        });
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
  const DType dtype = args.weight.dtype;
  const Shape edges{args.table.edge_count}, nodes{args.table.node_count};
  for (const auto& [name, view] : {std::pair{"weight", args.weight}, std::pair{"fisher", args.fisher}})
    expect("edit_features", name, view, edges, dtype);
  for (const auto& [name, view] :
       {std::pair{"bias", args.bias}, std::pair{"fisher_bias", args.fisher_bias}, std::pair{"mean", args.mean},
        std::pair{"rms", args.rms}, std::pair{"correlation", args.correlation}})
    expect("edit_features", name, view, nodes, dtype);
  if (args.gradient) expect("edit_features", "gradient", args.gradient, edges, dtype);
  if (args.gradient_bias) expect("edit_features", "gradient_bias", args.gradient_bias, nodes, dtype);
  if (args.lambda) {
    expect("edit_features", "lambda", args.lambda, {args.table.network_count}, dtype);
    expect("edit_features", "prior", args.prior, edges, dtype);
  }
  if (args.neuron_lambda) {
    expect("edit_features", "neuron_lambda", args.neuron_lambda, {args.table.network_count}, dtype);
    expect("edit_features", "neuron_prior", args.neuron_prior, nodes, dtype);
  }
  expect("edit_features", "scale", args.scale, {args.table.block_count}, dtype);
  expect("edit_features", "edge_feature", args.edge_feature, {args.table.edge_count, kEdgeFeatures}, dtype);
  expect("edit_features", "node_feature", args.node_feature, {args.table.node_count, kNodeFeatures}, dtype);
  dispatch_float("edit_features", dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for(args.table.block_count, [&](std::int64_t b) { edge_features_of_block<T>(args, b); });
    parallel_for(args.table.network_count, [&](std::int64_t n) {
      node_features_of_network<T>(args, n);
      if (args.neuron_lambda) neuron_prior_of_network<T>(args, n);
    });
  });
}

void refine_features(const RefineFeatures& args, Stream) {
  const DType dtype = args.weight.dtype;
  const std::int64_t objectives = args.gradient.extent(0), edges = args.table.edge_count, nodes = args.table.node_count;
  for (const auto& [name, view] :
       {std::pair{"weight", args.weight}, std::pair{"edited_weight", args.edited_weight},
        std::pair{"logit", args.logit}, std::pair{"residual", args.residual}, std::pair{"fisher", args.fisher}})
    expect("refine_features", name, view, {edges}, dtype);
  for (const auto& [name, view] :
       {std::pair{"edited_bias", args.edited_bias}, std::pair{"bias_residual", args.bias_residual},
        std::pair{"fisher_bias", args.fisher_bias}, std::pair{"mean", args.mean}, std::pair{"rms", args.rms},
        std::pair{"correlation", args.correlation}, std::pair{"original_fisher_bias", args.original_fisher_bias},
        std::pair{"original_mean", args.original_mean}, std::pair{"original_rms", args.original_rms}})
    expect("refine_features", name, view, {nodes}, dtype);
  expect("refine_features", "scale", args.scale, {args.table.block_count}, dtype);
  expect("refine_features", "gradient", args.gradient, {objectives, edges}, dtype);
  expect("refine_features", "gradient_bias", args.gradient_bias, {objectives, nodes}, dtype);
  expect("refine_features", "lambda", args.lambda, {args.table.network_count}, dtype);
  expect("refine_features", "edge_feature", args.edge_feature, {edges, refine_edge_features(objectives)}, dtype);
  expect("refine_features", "edge_step", args.edge_step, {edges, objectives}, dtype);
  expect("refine_features", "node_feature", args.node_feature, {nodes, refine_node_features(objectives)}, dtype);
  expect("refine_features", "node_step", args.node_step, {nodes, objectives}, dtype);
  dispatch_float("refine_features", dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for(args.table.block_count, [&](std::int64_t b) { refine_edges_of_block<T>(args, b); });
    parallel_for(args.table.network_count, [&](std::int64_t n) { refine_nodes_of_network<T>(args, n); });
  });
}

}  // namespace amend::kernels::cpu
