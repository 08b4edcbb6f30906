// edit_features, refine_features, features as rows and feature_gate_features.

#include "kernels/edit_features.hpp"

#include <cmath>

#include "test/support/random_features.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(edit_features, EditFeatures)
AMEND_TWINS(refine_features, RefineFeatures)
AMEND_TWINS(edge_embed_forward, EdgeEmbed)
AMEND_TWINS(feature_gate_features, FeatureGateFeatures)

namespace amend::test {
namespace {

using kernels::BlockTable;

void form_rows(Twin twin, const BlockTable& table, const kernels::EdgeInput& input, const TensorView& feature) {
  const std::int64_t width = input.width();
  const Tensor weight = identity(width, input.dtype()), bias({width}, input.dtype());
  twins::edge_embed_forward(twin, {.table = table, .input = input, .weight = weight, .bias = bias, .out = feature});
}

/// The part of a batch that `table` is: where it starts.
struct Part {
  const BlockTable& table;
  const BlockTable& batch;
  std::int64_t network = 0, block = 0, node = 0, edge = 0;
  DType dtype;
};

Part whole(const RandomBatch& batch, DType dtype) {
  return {.table = batch.table(), .batch = batch.table(), .dtype = dtype};
}

/// Rows of `part` of random numbers for the whole batch; positive ones are at least 2^-7.
Tensor rows(const Part& part, std::int64_t all, std::int64_t first, std::int64_t count, std::uint64_t seed,
            double scale, bool positive) {
  const Tensor x = random_tensor({all}, DType::float64, seed, scale);
  for (std::int64_t i = 0; positive && i < all; ++i)
    x.as<double>()[i] = double{static_cast<float>(std::fabs(x.as<double>()[i]) + 0.0078125)};
  return convert(slice_rows(x, first, count), part.dtype);
}
Tensor edges(const Part& p, std::uint64_t seed, double scale = 1.0, bool positive = false) {
  return rows(p, p.batch.edge_count, p.edge, p.table.edge_count, seed, scale, positive);
}
Tensor nodes(const Part& p, std::uint64_t seed, double scale = 1.0, bool positive = false) {
  return rows(p, p.batch.node_count, p.node, p.table.node_count, seed, scale, positive);
}
Tensor networks(const Part& p, std::uint64_t seed) {
  return rows(p, p.batch.network_count, p.network, p.table.network_count, seed, 0.05, true);
}
/// Two rows of what `one` gives for two seeds.
template <class One>
Tensor two(const One& one) {
  const Tensor a = one(0), b = one(1);
  std::vector<double> all = values(a);
  for (double x : values(b)) all.push_back(x);
  return make_tensor({2, a.count()}, a.view().dtype, all);
}

/// scale, features of edges, node_feature, prior, neuron_prior.
std::vector<Tensor> first(Twin twin, const Part& p, bool all) {
  const BlockTable& t = p.table;
  const auto when = [&](const Tensor& x) { return all ? x.view() : TensorView{}; };
  const Tensor weight = edges(p, 1, 0.5), bias = nodes(p, 2), fisher = edges(p, 3, 0.1, true),
               fisher_bias = nodes(p, 4, 0.1, true), mean = nodes(p, 5, 0.5), rms = nodes(p, 6, 1.0, true),
               correlation = nodes(p, 7, 0.4), gradient = edges(p, 8, 0.02), gradient_bias = nodes(p, 9, 0.2),
               lambda = networks(p, 10), neuron_lambda = networks(p, 11);
  const auto result = [&](Shape shape, bool there) { return there ? unset(shape, p.dtype) : Tensor(shape, p.dtype); };
  const std::vector<Tensor> out = {result({t.block_count}, true), result({t.edge_count, kernels::kEdgeFeatures}, true),
                                   result({t.node_count, kernels::kNodeFeatures}, true), result({t.edge_count}, all),
                                   result({t.node_count}, all)};
  const Tensor scales = unset({t.block_count, kernels::kEdgeScales}, p.dtype), energy = unset({t.node_count}, p.dtype);
  twins::edit_features(twin, {.table = t,
                              .weight = weight,
                              .bias = bias,
                              .fisher = fisher,
                              .fisher_bias = fisher_bias,
                              .mean = mean,
                              .rms = rms,
                              .correlation = correlation,
                              .gradient = when(gradient),
                              .gradient_bias = when(gradient_bias),
                              .lambda = when(lambda),
                              .neuron_lambda = when(neuron_lambda),
                              .scale = out[0],
                              .edge_scales = scales,
                              .energy = energy,
                              .node_feature = out[2],
                              .prior = when(out[3]),
                              .neuron_prior = when(out[4])});
  form_rows(twin, t,
            {.first = {.weight = weight,
                       .fisher = fisher,
                       .gradient = when(gradient),
                       .rms = rms,
                       .energy = energy,
                       .scales = scales}},
            out[1]);
  return out;
}

/// Features of edges, edge_step, node_feature, node_step.
std::vector<Tensor> refined(Twin twin, const Part& p, bool both) {
  const BlockTable& t = p.table;
  const std::int64_t objectives = both ? 2 : 1;
  const Tensor weight = edges(p, 1, 0.5), edited_weight = edges(p, 2, 0.5), edited_bias = nodes(p, 3),
               scale = rows(p, p.batch.block_count, p.block, t.block_count, 4, 0.5, true), logit = edges(p, 5, 4.0),
               residual = edges(p, 6, 0.3), bias_residual = nodes(p, 7, 0.3), fisher = edges(p, 8, 0.1, true),
               fisher_bias = nodes(p, 9, 0.1, true), mean = nodes(p, 10, 0.5), rms = nodes(p, 11, 1.0, true),
               correlation = nodes(p, 12, 0.4), original_fisher_bias = nodes(p, 13, 0.1, true),
               original_mean = nodes(p, 14, 0.5), original_rms = nodes(p, 15, 1.0, true), lambda = networks(p, 16),
               gradient = two([&](std::uint64_t o) { return edges(p, 17 + o, 0.02); }),
               gradient_bias = two([&](std::uint64_t o) { return nodes(p, 19 + o, 0.02); });
  const std::vector<Tensor> out = {unset({t.edge_count, kernels::refine_edge_features(objectives)}, p.dtype),
                                   unset({t.edge_count, objectives}, p.dtype),
                                   unset({t.node_count, kernels::refine_node_features(objectives)}, p.dtype),
                                   unset({t.node_count, objectives}, p.dtype)};
  const Tensor scales = unset({t.block_count, kernels::refine_edge_scales(objectives)}, p.dtype);
  const TensorView own_gradient = slice_rows(gradient, 0, objectives);
  twins::refine_features(twin, {.table = t,
                                .edited_bias = edited_bias,
                                .scale = scale,
                                .bias_residual = bias_residual,
                                .fisher = fisher,
                                .fisher_bias = fisher_bias,
                                .mean = mean,
                                .rms = rms,
                                .correlation = correlation,
                                .original_fisher_bias = original_fisher_bias,
                                .original_mean = original_mean,
                                .original_rms = original_rms,
                                .gradient = own_gradient,
                                .gradient_bias = slice_rows(gradient_bias, 0, objectives),
                                .lambda = lambda,
                                .edge_scales = scales,
                                .edge_step = out[1],
                                .node_feature = out[2],
                                .node_step = out[3]});
  form_rows(twin, t,
            {.refine = {.weight = weight,
                        .edited_weight = edited_weight,
                        .logit = logit,
                        .residual = residual,
                        .fisher = fisher,
                        .gradient = own_gradient,
                        .step = out[1],
                        .scales = scales}},
            out[0]);
  return out;
}

/// The last network also alone.
template <class Run>
void check_features(const std::vector<std::vector<int>>& widths, DType dtype, const Run& run) {
  const RandomBatch batch = random_batch(widths, Activation::relu, dtype, 1);
  const BlockTable& t = batch.table();
  const std::vector<Tensor> got =
      compare_twins("edit_features", [&](Twin twin) { return run(twin, whole(batch, dtype)); });
  const kernels::Network& network = t.network[t.network_count - 1];
  const RandomBatch alone = make_batch({batch.networks.back()}, dtype);
  const Part part{.table = alone.table(),
                  .batch = t,
                  .network = t.network_count - 1,
                  .block = network.first_block,
                  .node = network.node_offset,
                  .edge = network.edge_offset,
                  .dtype = dtype};
  const std::vector<Tensor> own = run(Twin::cuda, part);
  for (std::size_t i = 0; i < own.size(); ++i) {
    const std::int64_t all = got[i].view().extent(0), count = own[i].view().extent(0);
    const std::int64_t start = all == t.edge_count ? part.edge : all == t.node_count ? part.node : part.block;
    CHECK(same_bits(own[i], slice_rows(got[i], start, count)));
  }
  const RandomBatch none = make_batch({}, dtype);
  CHECK_NOTHROW(run(Twin::cuda, whole(none, dtype)));
}

const std::vector<std::vector<int>> kTwoChunks = {{5, 1, 2}, {5, 71, 60, 2}};  // in the second block of the second
const std::vector<std::vector<int>> kSmall = {{5, 2}, {5, 7, 40, 2}};

TEST_CASE("cuda edit_features") {
  check_features(kTwoChunks, DType::float32, [](Twin twin, const Part& p) { return first(twin, p, true); });
  check_features(kSmall, DType::float64, [](Twin twin, const Part& p) { return first(twin, p, false); });
}

TEST_CASE("cuda refine_features") {
  check_features(kTwoChunks, DType::float32, [](Twin twin, const Part& p) { return refined(twin, p, true); });
  check_features(kSmall, DType::float64, [](Twin twin, const Part& p) { return refined(twin, p, false); });
}

TEST_CASE("cuda feature_gate_features") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool refining = GENERATE(false, true), empty = GENERATE(false, true);
  const RandomBatch batch = random_batch(empty ? std::vector<std::vector<int>>{} : kRagged, Activation::relu, dtype, 1);
  const Part p = whole(batch, dtype);
  const std::int64_t features = 3, count = batch.table().network_count * features;
  const Tensor input_feature = make_tensor({5}, DType::int32, {0, 1, 1, 1, 2});
  const auto of_features = [&](std::uint64_t seed, double scale, bool positive) {
    const Tensor x = rows(p, count, 0, count, seed, scale, positive);
    return convert(reshape(x, {batch.table().network_count, features}), dtype);
  };
  const auto when = [&](const TensorView& x) { return refining ? x : TensorView{}; };
  const Tensor lambda = networks(p, 1), weight = edges(p, 2), gradient = edges(p, 3, 0.02),
               logit = rows(p, count, 0, count, 4, 6.0, false);
  const Tensor saliency = of_features(5, 0.05, true), unique = of_features(6, 0.02, true),
               value = of_features(7, 0.05, false), gate = of_features(8, 1.0, true);
  compare_twins("feature_gate_features", [&](Twin twin) {
    const Tensor feature = unset({count, kernels::kFeatureGateFeatures}, dtype), prior = unset({count}, dtype);
    twins::feature_gate_features(twin, {.table = batch.table(),
                                        .input_feature = input_feature,
                                        .saliency = saliency,
                                        .unique_saliency = unique,
                                        .lambda = lambda,
                                        .weight = when(weight),
                                        .gradient = when(gradient),
                                        .value = when(value),
                                        .feature_gate = when(gate),
                                        .logit = when(logit),
                                        .feature = feature,
                                        .prior = prior});
    return std::vector<Tensor>{feature, prior};
  });
}

}  // namespace
}  // namespace amend::test
