#include "metanet/train/training_step.hpp"

#include <cmath>

#include "autograd/op/divergence.hpp"
#include "autograd/op/reduce.hpp"
#include "autograd/op/subject_forward.hpp"
#include "kernels/feature_ablation.hpp"
#include "kernels/fill.hpp"

namespace amend {

namespace {

std::vector<float> copy(const TensorView& view, std::int64_t first, std::int64_t count) {
  const float* data = view.as<float>() + first;
  return {data, data + count};
}

}  // namespace

ProbeCache::ProbeCache(const Editor& editor, const EditorData& data, std::vector<const SubjectNetwork*> networks,
                       RowBatch rows)
    : networks_(std::move(networks)) {
  constexpr std::size_t kBatch = 32;
  check(editor.dtype() == DType::float32, "probe_cache", "training runs in float32");
  expect_fitting(networks_, editor.shape());
  Arena arena, fixed;
  Tape tape(arena, Stream()), inner(arena, Stream());
  if (editor.gates().features) add_deviations(rows, data.unique, fixed, Stream());
  tape.set_recording(false);
  for (std::size_t first = 0; first < networks_.size(); first += kBatch) {
    const std::span<const SubjectNetwork* const> batch(networks_.data() + first,
                                                       std::min(kBatch, networks_.size() - first));
    tape.reset();
    const GraphBatch graph(batch);
    const kernels::BlockTable& table = graph.table();
    const EditorInputs inputs = make_inputs(graph, batch, editor, data, arena);
    ProbeOptions options{.rows = &rows,
                         .feature_offset = editor.gates().features ? data.feature_offset : TensorView{},
                         .requirements = &editor.requirements()};
    if (editor.reads_groups()) {
      options.lambda =
          arena.tensor({table.network_count, static_cast<std::int64_t>(editor.requirements().size())}, DType::float32);
      kernels::fill({.y = options.lambda, .value = 1.0}, tape.stream());
    }
    const BatchProbe probe = probe_networks(tape, inner, table, inputs.weight, inputs.bias, options);
    for (std::int32_t n = 0; n < table.network_count; ++n) {
      const kernels::Network& network = table.network[n];
      const auto edges = [&](const TensorView& view) {
        return view ? copy(view, network.edge_offset, network.edge_count) : std::vector<float>{};
      };
      const auto nodes = [&](const TensorView& view) {
        return view ? copy(view, network.node_offset, network.node_count) : std::vector<float>{};
      };
      const std::int64_t features = editor.shape().features;
      entry_.push_back(
          {edges(probe.fisher), edges(probe.gradient), nodes(probe.fisher_bias), nodes(probe.mean), nodes(probe.rms),
           nodes(probe.correlation), nodes(probe.gradient_bias),
           probe.feature_saliency ? copy(probe.feature_saliency, n * features, features) : std::vector<float>{},
           probe.unique_saliency ? copy(probe.unique_saliency, n * features, features) : std::vector<float>{}});
    }
  }
}

BatchProbe ProbeCache::gather(const kernels::BlockTable& table, std::span<const int> picks, const Editor& editor,
                              Arena& arena) const {
  BatchProbe probe;
  const auto collect = [&](std::vector<float> Entry::*member, Shape shape) {
    const TensorView view = arena.tensor(shape, DType::float32);
    float* out = view.as<float>();
    for (const int pick : picks) {
      const std::vector<float>& values = entry_[static_cast<std::size_t>(pick)].*member;
      out = std::copy(values.begin(), values.end(), out);
    }
    check(out == view.as<float>() + view.count(), "probe_cache", "the batch does not match its networks");
    return view;
  };
  probe.fisher = collect(&Entry::fisher, {table.edge_count});
  probe.fisher_bias = collect(&Entry::fisher_bias, {table.node_count});
  probe.mean = collect(&Entry::mean, {table.node_count});
  probe.rms = collect(&Entry::rms, {table.node_count});
  probe.correlation = collect(&Entry::correlation, {table.node_count});
  if (editor.reads_groups()) {
    probe.gradient = collect(&Entry::gradient, {1, table.edge_count});
    probe.gradient_bias = collect(&Entry::gradient_bias, {1, table.node_count});
  }
  if (editor.gates().features) {
    probe.feature_saliency = collect(&Entry::saliency, {table.network_count, editor.shape().features});
    probe.unique_saliency = collect(&Entry::unique_saliency, {table.network_count, editor.shape().features});
  }
  return probe;
}

void loss_weights(std::span<const double> lambda, std::size_t requirements, double balance,
                  std::vector<double>& weight) {
  weight.clear();
  for (std::size_t first = 0; first < lambda.size(); first += requirements) {
    double log_sum = 0.0;
    int on = 0;
    for (const double value : lambda.subspan(first, requirements))
      if (value > 0.0) {
        log_sum += std::log(value);
        ++on;
      }
    weight.push_back(on ? std::exp(-balance * log_sum / on) : 1.0);
  }
}

TrainingStep::TrainingStep(const TrainedEditor& trained, const EditorData& data, const ProbeCache& cache)
    : trained_(&trained),
      data_(&data),
      cache_(&cache),
      tape_(arena_, Stream()),
      inner_(arena_, Stream()),
      grad_({trained.editor->parameters().count()}, trained.editor->dtype()) {}

/// Adds scale * sum_b(weight_b * lambda_{b, requirement} * term_b) to the loss; requirement -1: without a lambda.
void TrainingStep::add_loss(Variable term, double scale, std::int64_t requirement) {
  const std::int64_t networks = term.extent(0),
                     requirements = static_cast<std::int64_t>(trained_->config.lambda.size());
  const TensorView coefficient = arena_.tensor({networks}, term.dtype());
  for (std::int64_t n = 0; n < networks; ++n) {
    const auto at = static_cast<std::size_t>(n);
    const double lambda =
        requirement < 0 ? 1.0 : batch_->lambda[static_cast<std::size_t>(n * requirements + requirement)];
    coefficient.as<float>()[n] = static_cast<float>(scale * batch_->weight[at] * lambda);
  }
  const Variable part = op::weighted_sum(tape_, term, coefficient);
  terms_.total = terms_.total ? op::add(tape_, terms_.total, part) : part;
}

/// scale * weight_b of every network.
TensorView TrainingStep::coefficients(double scale) {
  const auto networks = static_cast<std::int64_t>(batch_->weight.size());
  const TensorView result = arena_.tensor({networks}, DType::float32);
  for (std::int64_t n = 0; n < networks; ++n)
    result.as<float>()[n] = static_cast<float>(scale * batch_->weight[static_cast<std::size_t>(n)]);
  return result;
}

/// The slope of the divergence along straight-through feature gates: what closing an open feature costs, or opening a
/// closed one saves, measured (Titsias and Lazaro-Gredilla, *Local expectation gradients for black box variational
/// inference*, NIPS 2015).
void TrainingStep::add_feature_slope(const EditorInputs& inputs, const EditorPass& pass, const RowBatch& rows,
                                     const TensorView& original, Variable divergence, double scale) {
  const TensorView value = arena_.tensor(pass.feature_gate.shape(), divergence.dtype());
  kernels::feature_ablation({.table = graph_.table(),
                             .weight = pass.edited.weight.value(),
                             .bias = pass.edited.bias.value(),
                             .x = rows.x,
                             .logits = original,
                             .deviation = rows.deviation,
                             .feature_gate = pass.feature_gate.value(),
                             .closed_weight = inputs.weight,
                             .beta = pass.beta,
                             .feature_offset = inputs.feature_offset,
                             .divergence = value},
                            tape_.stream());
  kernels::feature_value({.gate = pass.feature_gate.value(),
                          .divergence = divergence.value(),
                          .coefficient = coefficients(-scale),
                          .value = value},
                         tape_.stream());
  terms_.total = op::attach_gradient(tape_, terms_.total, pass.feature_gate, value);
}

const LossTerms& TrainingStep::run(const Batch& batch) {
  const EditorConfig& config = trained_->config;
  const Editor& editor = *trained_->editor;
  batch_ = &batch;
  tape_.reset();
  tape_.set_recording(batch.training);
  networks_.clear();
  for (const int pick : batch.picks) networks_.push_back(cache_->networks()[static_cast<std::size_t>(pick)]);
  graph_.assign(networks_);
  EditorInputs inputs = make_inputs(graph_, networks_, editor, *data_, arena_);
  encode_condition(inputs, batch.lambda, config.lambda, arena_, editor.dtype());
  inputs.probe = cache_->gather(graph_.table(), batch.picks, editor, arena_);
  inputs.training = batch.training;
  inputs.noise_seed = config.seed;
  inputs.noise_step = batch.step;
  inputs.noise_shard = batch.shard;
  // A handful of gates that stand in for each other: what is delivered, open above a half, must have been trained. The
  // noise that finds them fades out.
  inputs.feature_noise =
      std::max(0.0, 1.0 - 1.25 * static_cast<double>(batch.step) / static_cast<double>(config.steps));
  inputs.inner = &inner_;
  inputs.grad = grad_;
  RowBatch probe_rows;
  if (config.shape.passes > 1) {
    probe_rows =
        batch.probe_sampler->draw(arena_, batch.probe_rows, batch.probe_cell_rows, batch.probe_stream, editor.dtype());
    if (editor.gates().features) add_deviations(probe_rows, {}, arena_, tape_.stream());
    inputs.rows = &probe_rows;
    inputs.original_logits = original_logits(tape_, inputs, probe_rows);
  }
  editor.run(tape_, inputs, passes_);

  RowBatch rows = batch.loss_sampler->draw(arena_, batch.rows, batch.cell_rows, batch.loss_stream, editor.dtype());
  const bool measured =
      batch.training && editor.gates().features && config.gates.feature == kernels::GateKind::straight_through;
  if (measured) add_deviations(rows, {}, arena_, tape_.stream());
  const TensorView original = original_logits(tape_, inputs, rows);
  const std::size_t requirements = config.lambda.size(), passes = passes_.size();
  terms_.total = {};
  terms_.divergence.resize(passes);
  terms_.requirement.resize(passes);
  for (std::size_t p = 0; p < passes; ++p) {
    const EditorPass& pass = passes_[p];
    const bool last = p + 1 == passes;
    terms_.requirement[p].resize(requirements);
    terms_.divergence[p] = {};
    const double scale = last ? 1.0 : config.deep_loss;
    if (scale == 0.0 || (!last && !batch.training)) continue;
    const Variable logits =
        op::subject_forward(tape_, graph_.table(), pass.edited.weight, pass.edited.bias, rows.x).logits;
    terms_.divergence[p] = op::divergence(tape_, original, logits, rows.random_rows);
    add_loss(terms_.divergence[p], scale, -1);
    if (measured) add_feature_slope(inputs, pass, rows, original, terms_.divergence[p], scale);
    const SoftInputs soft{.logits = logits,
                          .rows = &rows,
                          .weight_share = pass.weight_share,
                          .neuron_share = pass.neuron_share,
                          .feature_share = pass.feature_share};
    for (std::size_t r = 0; r < requirements; ++r) {
      terms_.requirement[p][r] = editor.requirements()[r]->soft(tape_, soft);
      add_loss(terms_.requirement[p][r], scale, static_cast<std::int64_t>(r));
      if (!last || config.barrier == 0.0) continue;
      const EditGates gates = editor.requirements()[r]->gates();
      const Variable barrier = gates.weights    ? pass.weight_barrier
                               : gates.neurons  ? pass.neuron_barrier
                               : gates.features ? pass.feature_barrier
                                                : Variable();
      if (barrier) add_loss(barrier, config.barrier, static_cast<std::int64_t>(r));
    }
  }
  if (batch.training) {
    kernels::fill({.y = grad_, .value = 0.0}, Stream());
    tape_.backward(terms_.total);
  }
  return terms_;
}

}  // namespace amend
