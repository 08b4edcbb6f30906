#include "kernels/edit_features.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "test/support/op_run.hpp"
#include "test/support/random_features.hpp"
#include "test/support/random_networks.hpp"

namespace amend {
namespace {

using kernels::Block;
using test::Matrix;
using test::RandomBatch;

/// What exists of a network's optional inputs.
struct Options {
  bool gradient, lambda, neuron_lambda;
};

/// Positive numbers that float32 holds exactly.
Tensor random_positive(Shape shape, std::uint64_t seed, double scale) {
  const Tensor x = test::random_tensor(shape, DType::float64, seed, scale);
  for (std::int64_t i = 0; i < x.count(); ++i) x.as<double>()[i] = std::fabs(x.as<double>()[i]) + 0.0078125;
  return test::convert(test::convert(x, DType::float32), DType::float64);
}

/// Inputs of both kernels, named as there; the edited network's are other numbers of the same shapes.
struct Inputs {
  Tensor weight, bias, fisher, fisher_bias, mean, rms, correlation, gradient, gradient_bias, lambda, neuron_lambda;
  Tensor edited_weight, edited_bias, scale, logit, residual, bias_residual, original_fisher_bias, original_mean,
      original_rms, gradients, gradients_bias;

  explicit Inputs(const RandomBatch& batch) : weight(test::convert(batch.weight, DType::float64)) {
    const kernels::BlockTable& t = batch.table();
    const auto random = [](std::int64_t count, std::uint64_t seed, double spread) {
      return test::random_tensor({count}, DType::float64, seed, spread);
    };
    bias = test::convert(batch.bias, DType::float64);
    fisher = random_positive({t.edge_count}, 1, 0.1);
    fisher_bias = random_positive({t.node_count}, 2, 0.1);
    mean = random(t.node_count, 3, 0.5);
    rms = random_positive({t.node_count}, 4, 1.0);
    correlation = random(t.node_count, 5, 0.4);
    gradient = random(t.edge_count, 6, 0.02);
    gradient_bias = random(t.node_count, 7, 0.2);
    lambda = random_positive({t.network_count}, 8, 0.05);
    neuron_lambda = random_positive({t.network_count}, 9, 0.05);
    edited_weight = random(t.edge_count, 10, 0.5);
    edited_bias = random(t.node_count, 11, 0.5);
    scale = random_positive({t.block_count}, 12, 0.5);
    logit = random(t.edge_count, 13, 4.0);
    residual = random(t.edge_count, 14, 0.3);
    bias_residual = random(t.node_count, 15, 0.3);
    original_fisher_bias = random_positive({t.node_count}, 16, 0.1);
    original_mean = random(t.node_count, 17, 0.5);
    original_rms = random_positive({t.node_count}, 18, 1.0);
    gradients = test::random_tensor({2, t.edge_count}, DType::float64, 19, 0.02);
    gradients_bias = test::random_tensor({2, t.node_count}, DType::float64, 20, 0.02);
  }

  std::vector<Tensor*> all() {
    return {&weight,        &bias,         &fisher,        &fisher_bias,   &mean,          &rms,
            &correlation,   &gradient,     &gradient_bias, &lambda,        &neuron_lambda, &edited_weight,
            &edited_bias,   &scale,        &logit,         &residual,      &bias_residual, &original_fisher_bias,
            &original_mean, &original_rms, &gradients,     &gradients_bias};
  }
  Inputs as(DType dtype) const {
    Inputs result = *this;
    for (Tensor* x : result.all()) *x = test::convert(*x, dtype);
    return result;
  }
};

/// Of the inputs' features: scale, features of edges, node_feature, prior, neuron_prior, energy.
std::vector<Tensor> run_first(const kernels::BlockTable& t, const Inputs& in, Options options) {
  const DType dtype = in.weight.view().dtype;
  const std::vector<Tensor> out = {Tensor({t.block_count}, dtype),
                                   Tensor({t.edge_count, kernels::kEdgeFeatures}, dtype),
                                   Tensor({t.node_count, kernels::kNodeFeatures}, dtype),
                                   Tensor({t.edge_count}, dtype),
                                   Tensor({t.node_count}, dtype),
                                   Tensor({t.node_count}, dtype)};
  const Tensor scales({t.block_count, kernels::kEdgeScales}, dtype);
  const auto when = [](bool there, const Tensor& x) { return there ? x.view() : TensorView{}; };
  kernels::edit_features({.table = t,
                          .weight = in.weight,
                          .bias = in.bias,
                          .fisher = in.fisher,
                          .fisher_bias = in.fisher_bias,
                          .mean = in.mean,
                          .rms = in.rms,
                          .correlation = in.correlation,
                          .gradient = when(options.gradient, in.gradient),
                          .gradient_bias = when(options.gradient, in.gradient_bias),
                          .lambda = when(options.lambda, in.lambda),
                          .neuron_lambda = when(options.neuron_lambda, in.neuron_lambda),
                          .scale = out[0],
                          .edge_scales = scales,
                          .energy = out[5],
                          .node_feature = out[2],
                          .prior = when(options.lambda, out[3]),
                          .neuron_prior = when(options.neuron_lambda, out[4])},
                         Stream{});
  test::form_rows(t,
                  {.first = {.weight = in.weight,
                             .fisher = in.fisher,
                             .gradient = when(options.gradient, in.gradient),
                             .rms = in.rms,
                             .energy = out[5],
                             .scales = scales}},
                  out[1]);
  return out;
}

/// Features of edges, edge_step, node_feature, node_step.
std::vector<Tensor> run_refine(const kernels::BlockTable& t, const Inputs& in) {
  const DType dtype = in.weight.view().dtype;
  const std::vector<Tensor> out = {
      Tensor({t.edge_count, kernels::refine_edge_features(2)}, dtype), Tensor({t.edge_count, 2}, dtype),
      Tensor({t.node_count, kernels::refine_node_features(2)}, dtype), Tensor({t.node_count, 2}, dtype)};
  const Tensor scales({t.block_count, kernels::refine_edge_scales(2)}, dtype);
  kernels::refine_features({.table = t,
                            .edited_bias = in.edited_bias,
                            .scale = in.scale,
                            .bias_residual = in.bias_residual,
                            .fisher = in.fisher,
                            .fisher_bias = in.fisher_bias,
                            .mean = in.mean,
                            .rms = in.rms,
                            .correlation = in.correlation,
                            .original_fisher_bias = in.original_fisher_bias,
                            .original_mean = in.original_mean,
                            .original_rms = in.original_rms,
                            .gradient = in.gradients,
                            .gradient_bias = in.gradients_bias,
                            .lambda = in.lambda,
                            .edge_scales = scales,
                            .edge_step = out[1],
                            .node_feature = out[2],
                            .node_step = out[3]},
                           Stream{});
  test::form_rows(t,
                  {.refine = {.weight = in.weight,
                              .edited_weight = in.edited_weight,
                              .logit = in.logit,
                              .residual = in.residual,
                              .fisher = in.fisher,
                              .gradient = in.gradients,
                              .step = out[1],
                              .scales = scales}},
                  out[0]);
  return out;
}

double clamp8(double x) { return std::clamp(x, -8.0, 8.0); }

/// Mean of f(edge) over the edges of a block.
double block_mean(const Block& block, const std::function<double(std::int64_t)>& f) {
  const std::int64_t count = std::int64_t{block.rows} * block.cols;
  double sum = 0.0;
  for (std::int64_t e = block.edge_offset; e < block.edge_offset + count; ++e) sum += f(e);
  return sum / static_cast<double>(count);
}

std::vector<std::vector<double>> first_oracle(const kernels::BlockTable& t, const Inputs& in, Options options) {
  const double *w = in.weight.as<double>(), *fisher = in.fisher.as<double>(), *rms = in.rms.as<double>(),
               *mean = in.mean.as<double>(), *g = in.gradient.as<double>(), *c = in.correlation.as<double>();
  Matrix edge(t.edge_count, 15), node(t.node_count, 16), scale(t.block_count, 1), prior(t.edge_count, 1),
      neuron_prior(t.node_count, 1), energies(t.node_count, 1);
  for (std::int32_t b = 0; b < t.block_count; ++b) {
    const Block& block = t.block[b];
    const kernels::Network& network = t.network[block.network];
    const double n = network.edge_count, s = std::sqrt(block_mean(block, [&](auto e) { return w[e] * w[e]; })) + 1e-6;
    const double mean_fisher = block_mean(block, [&](auto e) { return fisher[e]; }) + 1e-9;
    const auto saliency = [&](std::int64_t e) { return w[e] * w[e] * fisher[e] * n / 8.0; };
    const auto newton = [&](std::int64_t e) { return g[e] / (fisher[e] + 0.1 * mean_fisher); };
    const double mean_saliency = block_mean(block, saliency) + 1e-9;
    const double gradient_rms = std::sqrt(block_mean(block, [&](auto e) { return g[e] * g[e]; })) + 1e-9;
    const double newton_rms = std::sqrt(block_mean(block, [&](auto e) { return newton(e) * newton(e); })) + 1e-9;
    scale(b, 0) = s;
    for (std::int64_t i = 0; i < block.rows; ++i) {
      double energy = 0.0;
      for (std::int64_t j = 0; j < block.cols; ++j)
        energy += std::pow(w[block.edge_offset + i * block.cols + j] * rms[block.source_offset + j], 2);
      energies(block.target_offset + i, 0) = std::sqrt(energy) + 1e-6;
      for (std::int64_t j = 0; j < block.cols; ++j) {
        const std::int64_t e = block.edge_offset + i * block.cols + j;
        const double share = w[e] * rms[block.source_offset + j] / (std::sqrt(energy) + 1e-6);
        const double log_saliency = std::log(saliency(e) + 1e-6);
        const double obd =
            options.lambda ? clamp8(log_saliency - std::log(in.lambda.as<double>()[block.network])) : 0.0;
        const double row[15] = {w[e] / s,
                                std::fabs(w[e]) / s,
                                std::copysign(std::log1p(4.0 * std::fabs(w[e]) / s), w[e]),
                                3.0 * share,
                                3.0 * std::fabs(share),
                                std::log(std::fabs(share) + 1e-4) / 2.0 + 2.0,
                                std::log(fisher[e] / mean_fisher + 1e-3) / 2.0,
                                log_saliency / 3.0 + 1.0,
                                obd / 3.0,
                                std::log(saliency(e) / mean_saliency + 1e-4) / 3.0,
                                options.gradient ? std::asinh(g[e] / gradient_rms) : 0.0,
                                options.gradient ? std::asinh(newton(e) / newton_rms) : 0.0,
                                block.kind == kernels::BlockKind::first ? 1.0 : 0.0,
                                block.kind == kernels::BlockKind::hidden ? 1.0 : 0.0,
                                block.kind == kernels::BlockKind::last ? 1.0 : 0.0};
        for (int f = 0; f < 15; ++f) edge(e, f) = row[f];
        prior(e, 0) = obd;
      }
    }
    const int layer = b - network.first_block;
    const auto describe = [&](std::int64_t v, int depth, int kind) {
      if (kind < 2) {
        node(v, 3) = mean[v];
        node(v, 4) = rms[v];
        node(v, 5) = std::log(rms[v] + 1e-3);
        node(v, 6) = c[v];
        node(v, 7) = std::fabs(c[v]);
        node(v, 8) = std::log(std::max(rms[v] * rms[v] - mean[v] * mean[v], 0.0) + 1e-3) / 2.0;
      }
      node(v, 11) = static_cast<double>(depth) / network.block_count;
      node(v, 12 + kind) = 1.0;
    };
    if (layer == 0)
      for (std::int64_t j = 0; j < block.cols; ++j) describe(block.source_offset + j, 0, 0);
    for (std::int64_t v = block.target_offset; v < block.target_offset + block.rows; ++v) {
      describe(v, layer + 1, layer + 1 == network.block_count ? 2 : 1);
      node(v, 0) = in.bias.as<double>()[v] / s;
      node(v, 1) = std::fabs(node(v, 0));
      node(v, 2) = std::log(s);
      node(v, 9) = std::log(in.fisher_bias.as<double>()[v] + 1e-4) / 2.0 + 2.0;
      node(v, 10) = options.gradient ? std::asinh(5.0 * in.gradient_bias.as<double>()[v]) : 0.0;
      node(v, 15) = std::log(block.cols) / 2.0 - 1.5;
    }
    if (options.neuron_lambda && layer > 0)
      for (std::int64_t j = 0; j < block.cols; ++j) {
        double sum = 0.0;
        for (std::int64_t i = 0; i < block.rows; ++i) sum += saliency(block.edge_offset + i * block.cols + j) / n;
        neuron_prior(block.source_offset + j, 0) = clamp8(std::log(sum * network.hidden_count + 1e-6) -
                                                          std::log(in.neuron_lambda.as<double>()[block.network]));
      }
  }
  return {scale.data, edge.data, node.data, prior.data, neuron_prior.data, energies.data};
}

std::vector<std::vector<double>> refine_oracle(const kernels::BlockTable& t, const Inputs& in) {
  const double *fisher = in.fisher.as<double>(), *edited = in.edited_weight.as<double>(),
               *fisher_bias = in.fisher_bias.as<double>();
  const Matrix gradient(in.gradients), gradient_bias(in.gradients_bias);
  Matrix edge(t.edge_count, 13), edge_step(t.edge_count, 2), node(t.node_count, 12), node_step(t.node_count, 2);
  for (std::int32_t b = 0; b < t.block_count; ++b) {
    const Block& block = t.block[b];
    const double n = t.network[block.network].edge_count, scale = in.scale.as<double>()[b],
                 lambda = in.lambda.as<double>()[block.network];
    const double mean_fisher = block_mean(block, [&](auto e) { return fisher[e]; }) + 1e-7;
    for (std::int64_t e = block.edge_offset; e < block.edge_offset + std::int64_t{block.rows} * block.cols; ++e) {
      edge(e, 0) = edited[e] / scale;
      edge(e, 1) = std::clamp(in.logit.as<double>()[e], -6.0, 6.0) / 3.0;
      edge(e, 2) = 2.0 * in.residual.as<double>()[e];
      edge(e, 3) = std::log(fisher[e] / mean_fisher + 1e-3) / 2.0;
      edge(e, 4) = clamp8(std::log(edited[e] * edited[e] * fisher[e] * n / 8.0 + 1e-6) - std::log(lambda)) / 3.0;
      for (int o = 0; o < 2; ++o) {
        const double g = gradient(o, e);
        const double rms = std::sqrt(block_mean(block, [&](auto k) { return gradient(o, k) * gradient(o, k); })) + 1e-9;
        edge_step(e, o) = std::tanh(-4.0 * g / (fisher[e] + 0.3 * mean_fisher) / scale);
        edge(e, 5 + 4 * o) = std::asinh(2.0 * g / rms);
        edge(e, 6 + 4 * o) = 2.0 * edge_step(e, o);
        edge(e, 7 + 4 * o) = std::asinh(g * edited[e] * n / lambda);
        edge(e, 8 + 4 * o) = std::asinh(g * in.weight.as<double>()[e] * n / lambda);
      }
    }
    for (std::int64_t v = block.source_offset; v < block.source_offset + block.cols; ++v) {
      node(v, 0) = in.mean.as<double>()[v] - in.original_mean.as<double>()[v];
      node(v, 1) = in.rms.as<double>()[v] - in.original_rms.as<double>()[v];
      node(v, 2) = std::log(in.rms.as<double>()[v] + 1e-3);
      node(v, 3) = in.correlation.as<double>()[v];
    }
    double mean_bias = 1e-7 / 0.3;
    for (std::int64_t v = block.target_offset; v < block.target_offset + block.rows; ++v)
      mean_bias += fisher_bias[v] / block.rows;
    for (std::int64_t v = block.target_offset; v < block.target_offset + block.rows; ++v) {
      node(v, 4) = std::log(fisher_bias[v] + 1e-4) / 2.0 + 2.0;
      node(v, 5) = std::log(in.original_fisher_bias.as<double>()[v] + 1e-4) / 2.0 + 2.0;
      node(v, 6) = 2.0 * in.bias_residual.as<double>()[v];
      node(v, 7) = in.edited_bias.as<double>()[v] / scale;
      for (int o = 0; o < 2; ++o) {
        node_step(v, o) = std::tanh(-4.0 * gradient_bias(o, v) / (fisher_bias[v] + 0.3 * mean_bias) / scale);
        node(v, 8 + 2 * o) = 2.0 * node_step(v, o);
        node(v, 9 + 2 * o) = std::asinh(200.0 * gradient_bias(o, v));
      }
    }
  }
  return {edge.data, edge_step.data, node.data, node_step.data};
}

bool all_close(const std::vector<Tensor>& got, const std::vector<std::vector<double>>& expected) {
  return std::equal(got.begin(), got.end(), expected.begin(), expected.end(),
                    [](const Tensor& a, const auto& b) { return test::close("edit_features", a, b); });
}

bool all_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return test::same_bits(x, y); });
}

TEST_CASE("edit_features agrees with the formulas, weight by weight") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Options options{GENERATE(false, true), GENERATE(false, true), GENERATE(false, true)};
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Inputs in(batch);
  CHECK(all_close(run_first(batch.table(), in.as(dtype), options), first_oracle(batch.table(), in, options)));
}

TEST_CASE("refine_features agrees with the formulas, weight by weight") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Inputs in(batch);
  CHECK(all_close(run_refine(batch.table(), in.as(dtype)), refine_oracle(batch.table(), in)));
}

TEST_CASE("edit features of dead networks are finite") {
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float32, 3);
  Inputs in = Inputs(batch).as(DType::float32);
  for (Tensor* x : in.all()) *x = Tensor(x->view().shape, DType::float32);
  for (const Tensor& x : run_first(batch.table(), in, {true, true, true}))
    for (double value : test::values(x)) CHECK(std::isfinite(value));
}

TEST_CASE("edit features: a network has the same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const kernels::BlockTable& t = batch.table();
  const Options options{true, true, true};
  const Inputs in = Inputs(batch).as(dtype);
  std::vector<Tensor> first, refined;
  for (int threads : {1, 2, 3}) {
    const test::ThreadCount several(threads);
    const auto a = run_first(t, in, options), b = run_refine(t, in);
    if (threads == 1) first = a, refined = b;
    CHECK(all_same(first, a));
    CHECK(all_same(refined, b));
  }
  for (std::int64_t n = 0; n < t.network_count; ++n) {
    const kernels::Network& network = t.network[n];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(n)]}, dtype);
    const auto part = [&](const Tensor& x) {
      const Shape& shape = x.view().shape;
      if (shape[0] == 2 && shape.rank() == 2) {  // (objectives, edges or nodes)
        const bool edges = shape[1] == t.edge_count;
        const std::int64_t count = edges ? network.edge_count : network.node_count;
        Matrix from(x), to(2, count);
        for (std::int64_t o = 0; o < 2; ++o)
          for (std::int64_t i = 0; i < count; ++i)
            to(o, i) = from(o, (edges ? network.edge_offset : network.node_offset) + i);
        return test::make_tensor({2, count}, dtype, to.data);
      }
      const auto rows = [&](std::int64_t begin, std::int64_t count) {
        return test::convert(slice_rows(x, begin, count), dtype);
      };
      if (shape[0] == t.edge_count) return rows(network.edge_offset, network.edge_count);
      if (shape[0] == t.node_count) return rows(network.node_offset, network.node_count);
      if (shape[0] == t.block_count) return rows(network.first_block, network.block_count);
      return rows(n, 1);
    };
    Inputs own = in;
    for (Tensor* x : own.all()) *x = part(*x);
    std::vector<Tensor> expected_first, expected_refined;
    for (const Tensor& x : first) expected_first.push_back(part(x));
    for (const Tensor& x : refined) expected_refined.push_back(part(x));
    CHECK(all_same(run_first(alone.table(), own, options), expected_first));
    CHECK(all_same(run_refine(alone.table(), own), expected_refined));
  }
}

TEST_CASE("edit features: no networks, and mistakes name the argument") {
  const RandomBatch none = test::make_batch({}, DType::float64);
  CHECK_NOTHROW(run_first(none.table(), Inputs(none), {true, true, true}));
  CHECK_NOTHROW(run_refine(none.table(), Inputs(none)));

  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float64, 1);
  const auto error_with = [&](Tensor Inputs::*member, bool refine) {
    Inputs in(batch);
    in.*member = Tensor({77}, DType::float64);
    return test::error_of([&] {
      refine ? run_refine(batch.table(), in) : run_first(batch.table(), in, {true, true, true});
    });
  };
  CHECK_THAT(error_with(&Inputs::fisher, false),
             Catch::Contains("[edit_features] expected `fisher` of shape (20), got (77)"));
  CHECK_THAT(error_with(&Inputs::rms, false), Catch::Contains("`rms`"));
  CHECK_THAT(error_with(&Inputs::gradient, false), Catch::Contains("`gradient`"));
  CHECK_THAT(error_with(&Inputs::gradient_bias, false), Catch::Contains("`gradient_bias`"));
  CHECK_THAT(error_with(&Inputs::lambda, false), Catch::Contains("`lambda`"));
  CHECK_THAT(error_with(&Inputs::neuron_lambda, false), Catch::Contains("`neuron_lambda`"));
  CHECK_THAT(error_with(&Inputs::edited_weight, true), Catch::Contains("[edge_embed] expected `edited_weight`"));
  CHECK_THAT(error_with(&Inputs::scale, true), Catch::Contains("`scale`"));
  CHECK_THAT(error_with(&Inputs::original_rms, true), Catch::Contains("`original_rms`"));
}

}  // namespace
}  // namespace amend
