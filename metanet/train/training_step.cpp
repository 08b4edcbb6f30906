#include "metanet/train/training_step.hpp"

#include <cmath>

#include "autograd/op/divergence.hpp"
#include "autograd/op/reduce.hpp"
#include "autograd/op/subject_forward.hpp"
#include "kernels/feature_ablation.hpp"
#include "kernels/fill.hpp"

namespace amend {

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

namespace {

/// The coefficients of a pass: those of the divergence and of the feature slope, then of every requirement, then of the
/// barrier beside every requirement.
constexpr std::size_t kDivergence = 0, kSlope = 1, kRequirement = 2;

}  // namespace

TrainingStep::TrainingStep(const TrainedEditor& trained, Stream stream)
    : trained_(&trained),
      arena_(stream.device()),
      tape_(arena_, stream),
      inner_(arena_, stream),
      grad_({trained.editor->parameters().count()}, trained.editor->dtype(), stream.device()) {}

/// scale * weight_b * lambda_{b, requirement} of every network b, for all terms of all passes.
TensorView TrainingStep::stage_coefficients(const Batch& batch) {
  const EditorConfig& config = trained_->config;
  const std::size_t networks = batch.picks.size(), requirements = config.lambda.size();
  const auto passes = static_cast<std::size_t>(config.shape.passes), kinds = kRequirement + 2 * requirements;
  const Arena::Staged staged = arena_.stage(
      {static_cast<std::int64_t>(passes), static_cast<std::int64_t>(kinds), static_cast<std::int64_t>(networks)},
      DType::float32);
  float* out = staged.host.as<float>();
  for (std::size_t pass = 0; pass < passes; ++pass) {
    const double scale = pass + 1 == passes ? 1.0 : config.deep_loss;
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      const double factor = kind == kSlope ? -scale : kind >= kRequirement + requirements ? config.barrier : scale;
      for (std::size_t n = 0; n < networks; ++n) {
        const double lambda =
            kind < kRequirement ? 1.0 : batch.lambda[n * requirements + (kind - kRequirement) % requirements];
        *out++ = static_cast<float>(factor * batch.weight[n] * lambda);
      }
    }
  }
  return staged.device;
}

TensorView TrainingStep::coefficient(const Plan& plan, std::size_t pass, std::size_t kind) const {
  const TensorView& all = plan.coefficient;
  const auto row = static_cast<std::int64_t>(pass) * all.extent(1) + static_cast<std::int64_t>(kind);
  return reshape(slice_rows(reshape(all, {all.extent(0) * all.extent(1), all.extent(2)}), row, 1), {all.extent(2)});
}

void TrainingStep::add_loss(Variable term, const TensorView& coefficient) {
  const Variable part = op::weighted_sum(tape_, term, coefficient);
  terms_.total = terms_.total ? op::add(tape_, terms_.total, part) : part;
}

/// The Chebyshev objective of a pass; what it adds to the gradient of each of its terms: (terms, networks).
TensorView TrainingStep::add_chebyshev(const Plan& plan, std::size_t pass) {
  const TensorView weight = coefficient(plan, pass, kDivergence);
  chebyshev_terms_.assign(1, terms_.divergence[pass]);
  chebyshev_terms_.insert(chebyshev_terms_.end(), terms_.requirement[pass].begin(), terms_.requirement[pass].end());
  const TensorView slope =
      arena_.tensor({static_cast<std::int64_t>(chebyshev_terms_.size()), weight.count()}, weight.dtype);
  terms_.total = amend::add_chebyshev(tape_, inner_, terms_.total, chebyshev_terms_, plan.chebyshev, weight, slope);
  return slope;
}

/// The slope of the divergence along straight-through feature gates: what closing an open feature costs, or opening a
/// closed one saves, measured (Titsias and Lazaro-Gredilla, *Local expectation gradients for black box variational
/// inference*, NIPS 2015).
void TrainingStep::add_feature_slope(const EditorInputs& inputs, const EditorPass& pass, const RowBatch& rows,
                                     const TensorView& original, Variable divergence, const TensorView& coefficient) {
  const TensorView value = arena_.tensor(pass.feature_gate.shape(), divergence.dtype());
  kernels::feature_ablation({.table = graph_.device_table(),
                             .weight = pass.edited.weight.value(),
                             .bias = pass.edited.bias.value(),
                             .x = rows.x,
                             .x_id = rows.x_id,
                             .logits = original,
                             .deviation = rows.deviation,
                             .feature_gate = pass.feature_gate.value(),
                             .closed_weight = inputs.weight,
                             .beta = pass.beta,
                             .feature_offset = inputs.feature_offset,
                             .divergence = value},
                            tape_.stream());
  kernels::feature_value(
      {.gate = pass.feature_gate.value(), .divergence = divergence.value(), .coefficient = coefficient, .value = value},
      tape_.stream());
  terms_.total = op::attach_gradient(tape_, terms_.total, pass.feature_gate, value);
}

TrainingStep::Plan TrainingStep::plan(const Batch& batch) {
  const EditorConfig& config = trained_->config;
  const Editor& editor = *trained_->editor;
  networks_.clear();
  for (const int pick : batch.picks) networks_.push_back(batch.cache->networks()[static_cast<std::size_t>(pick)]);
  graph_.assign(networks_);
  graph_.stage(arena_);
  Plan plan;
  plan.inputs = make_inputs(graph_, editor, *batch.data, arena_);
  encode_condition(plan.inputs, batch.lambda, config.lambda, arena_, editor.dtype());
  plan.picks = batch.cache->stage(batch.picks, arena_);
  if (config.shape.passes > 1)
    plan.probe_rows =
        batch.probe_sampler->plan(arena_, batch.probe_rows, batch.probe_cell_rows, batch.probe_stream, editor.dtype());
  plan.loss_rows = batch.loss_sampler->plan(arena_, batch.rows, batch.cell_rows, batch.loss_stream, editor.dtype());
  plan.coefficient = stage_coefficients(batch);
  if (config.scalarisation == Scalarisation::chebyshev)
    plan.chebyshev = stage_chebyshev(batch.lambda, config.lambda.size(), arena_, editor.dtype());
  EditorInputs& inputs = plan.inputs;
  inputs.training = batch.training;
  inputs.noise_seed = config.seed;
  inputs.noise_step = batch.step;
  inputs.noise_shard = batch.shard;
  // A handful of gates that stand in for each other: what is delivered, open above a half, must have been trained. The
  // noise that finds them fades out.
  inputs.feature_noise =
      std::max(0.0, 1.0 - 1.25 * static_cast<double>(batch.step) / static_cast<double>(config.steps));
  if (arena_.device().is_cuda()) {
    const Arena::Staged schedule = arena_.stage({2, 2}, DType::float64);
    const auto step = static_cast<double>(batch.step);
    const double rows[] = {step, 1.0, step, inputs.feature_noise};
    std::copy_n(rows, 4, schedule.host.as<double>());
    inputs.noise_schedule = schedule.device;
  }
  if (batch.optimiser) plan.optimiser = batch.optimiser->plan(batch.step, arena_);
  return plan;
}

/// Everything but the contents of device memory that a step's launches depend on.
GraphCache::Key TrainingStep::key(const Batch& batch) const {
  GraphCache::Key key = graph_.launch_key();
  key.insert(key.end(), {batch.training, batch.probe_rows, batch.probe_cell_rows, batch.rows, batch.cell_rows,
                         static_cast<std::int64_t>(batch.shard)});
  for (const void* memory : {static_cast<const void*>(batch.data), static_cast<const void*>(batch.cache),
                             static_cast<const void*>(batch.probe_sampler),
                             static_cast<const void*>(batch.loss_sampler), static_cast<const void*>(batch.optimiser)})
    key.push_back(static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(memory)));
  return key;
}

/// The values of `terms_`, absent ones as absent views.
std::vector<TensorView> TrainingStep::results() const {
  const auto value = [](const Variable& term) { return term ? term.value() : TensorView{}; };
  std::vector<TensorView> results{value(terms_.total)};
  for (const Variable& term : terms_.divergence) results.push_back(value(term));
  for (const auto& pass : terms_.requirement)
    for (const Variable& term : pass) results.push_back(value(term));
  return results;
}

void TrainingStep::set_terms(const std::vector<TensorView>& results) {
  auto next = results.begin();
  const auto take = [&](Variable& term) {
    term = *next ? tape_.constant(*next) : Variable();
    ++next;
  };
  const EditorConfig& config = trained_->config;
  const auto passes = static_cast<std::size_t>(config.shape.passes);
  take(terms_.total);
  terms_.divergence.resize(passes);
  for (Variable& term : terms_.divergence) take(term);
  terms_.requirement.resize(passes);
  for (auto& pass : terms_.requirement) {
    pass.resize(config.lambda.size());
    for (Variable& term : pass) take(term);
  }
}

const LossTerms& TrainingStep::run(const Batch& batch) {
  const Stream stream = tape_.stream();
  tape_.reset();
  inner_.forget();
  tape_.set_recording(batch.training);
  Plan plan = this->plan(batch);
  arena_.upload(stream);
  if (!stream.device().is_cuda()) {
    compute(batch, plan);
    return terms_;
  }
  set_terms(graphs_.run(key(batch), stream, [&] {
    compute(batch, plan);
    return results();
  }));
  return terms_;
}

/// The step after its upload: on a device everything that changes from step to step lies in device memory.
void TrainingStep::compute(const Batch& batch, Plan& plan) {
  const EditorConfig& config = trained_->config;
  const Editor& editor = *trained_->editor;
  const Stream stream = tape_.stream();
  EditorInputs& inputs = plan.inputs;
  batch.cache->gather(plan.picks, inputs, arena_, stream);
  inputs.inner = &inner_;
  inputs.grad = grad_;
  RowBatch probe_rows;
  if (config.shape.passes > 1) {
    probe_rows = batch.probe_sampler->gather(plan.probe_rows, arena_, stream);
    if (editor.gates().features) add_deviations(probe_rows, {}, arena_, stream);
    inputs.rows = &probe_rows;
    inputs.original_logits = original_logits(tape_, inputs, probe_rows);
  }
  editor.run(tape_, inputs, passes_);

  RowBatch rows = batch.loss_sampler->gather(plan.loss_rows, arena_, stream);
  const bool measured =
      batch.training && editor.gates().features && config.gates.feature == kernels::GateKind::straight_through;
  if (measured) add_deviations(rows, {}, arena_, stream);
  const TensorView original = original_logits(tape_, inputs, rows);
  const std::size_t requirements = config.lambda.size(), passes = passes_.size();
  const bool linear = config.scalarisation == Scalarisation::linear;
  terms_.total = {};
  terms_.divergence.resize(passes);
  terms_.requirement.resize(passes);
  for (std::size_t p = 0; p < passes; ++p) {
    const EditorPass& pass = passes_[p];
    const bool last = p + 1 == passes;
    terms_.requirement[p].resize(requirements);
    terms_.divergence[p] = {};
    if (!last && (config.deep_loss == 0.0 || !batch.training)) continue;
    const Variable logits = op::subject_forward(tape_, graph_.device_table(), pass.edited.weight, pass.edited.bias,
                                                rows.x, {}, false, rows.x_id)
                                .logits;
    terms_.divergence[p] = op::divergence(tape_, original, logits, rows.random_rows);
    const SoftInputs soft{.logits = logits,
                          .rows = &rows,
                          .networks = graph_.device_table().networks,
                          .weight_share = pass.weight_share,
                          .neuron_share = pass.neuron_share,
                          .feature_share = pass.feature_share};
    for (std::size_t r = 0; r < requirements; ++r)
      terms_.requirement[p][r] = editor.requirements()[r]->soft(tape_, soft);
    TensorView feature_slope = coefficient(plan, p, kSlope);
    if (linear) {
      add_loss(terms_.divergence[p], coefficient(plan, p, kDivergence));
    } else {
      // To first order: a flip counts as much as the divergence does where the network stands.
      const TensorView slope = add_chebyshev(plan, p);
      feature_slope = arena_.tensor(feature_slope.shape, feature_slope.dtype);
      kernels::fill({.y = feature_slope, .value = 0.0}, stream);
      kernels::accumulate(
          {.x = reshape(slice_rows(slope, 0, 1), feature_slope.shape), .scale = -1.0, .y = feature_slope}, stream);
    }
    if (measured) add_feature_slope(inputs, pass, rows, original, terms_.divergence[p], feature_slope);
    for (std::size_t r = 0; r < requirements; ++r) {
      if (linear) add_loss(terms_.requirement[p][r], coefficient(plan, p, kRequirement + r));
      if (!last || config.barrier == 0.0) continue;
      const EditGates gates = editor.requirements()[r]->gates();
      const Variable barrier = gates.weights    ? pass.weight_barrier
                               : gates.neurons  ? pass.neuron_barrier
                               : gates.features ? pass.feature_barrier
                                                : Variable();
      if (barrier) add_loss(barrier, coefficient(plan, p, kRequirement + requirements + r));
    }
  }
  if (batch.training) {
    kernels::fill({.y = grad_, .value = 0.0}, stream);
    tape_.backward(terms_.total);
  }
  if (batch.optimiser) batch.optimiser->step(grad_, plan.optimiser);
}

}  // namespace amend
