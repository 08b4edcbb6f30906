#include "metanet/model/batch_probe.hpp"

#include "autograd/op/divergence.hpp"
#include "autograd/op/subject_forward.hpp"
#include "kernels/column.hpp"
#include "kernels/feature_ablation.hpp"
#include "kernels/feature_fold.hpp"
#include "kernels/fill.hpp"
#include "kernels/probe.hpp"

namespace amend {

namespace {

TensorView zeros(Tape& tape, Shape shape, DType dtype) {
  const TensorView view = tape.arena().tensor(shape, dtype);
  kernels::fill({.y = view, .value = 0.0}, tape.stream());
  return view;
}

}  // namespace

BatchProbe probe_networks(Tape& tape, Tape& inner, const kernels::BlockTable& table, const TensorView& weight,
                          const TensorView& bias, const ProbeOptions& options) {
  Arena& arena = tape.arena();
  const DType dtype = weight.dtype;
  const RowBatch& rows = *options.rows;
  const auto edges = table.edge_count, nodes = table.node_count;
  const std::int64_t networks = table.network_count;
  bool reads_groups = false;
  if (options.lambda)
    for (const auto& requirement : *options.requirements) reads_groups |= requirement->reads_groups();
  const std::int64_t objectives = (options.original_logits ? 1 : 0) + (reads_groups ? 1 : 0);

  const Arena::Mark mark = arena.mark();
  BatchProbe probe;
  probe.fisher = arena.tensor({edges}, dtype);
  probe.fisher_bias = arena.tensor({nodes}, dtype);
  probe.mean = arena.tensor({nodes}, dtype);
  probe.rms = arena.tensor({nodes}, dtype);
  probe.correlation = arena.tensor({nodes}, dtype);
  if (objectives > 0) {
    probe.gradient = arena.tensor({objectives, edges}, dtype);
    probe.gradient_bias = arena.tensor({objectives, nodes}, dtype);
  }
  const auto pass =
      op::subject_forward(tape, table, tape.constant(weight), tape.constant(bias), rows.x, {}, true, rows.x_id);
  const TensorView logits = pass.logits.value();
  const Shape logits_shape = logits.shape;
  probe.logits = logits;
  TensorView grad_logits;
  if (objectives > 0) grad_logits = zeros(tape, {objectives, networks, logits_shape[1], logits_shape[2]}, dtype);
  const auto objective = [&](std::int64_t index) { return reshape(slice_rows(grad_logits, index, 1), logits_shape); };
  const TensorView ones = arena.tensor({networks}, dtype);
  kernels::fill({.y = ones, .value = 1.0}, tape.stream());

  if (options.original_logits) {
    Variable leaf = inner.leaf(logits, objective(0));
    Variable divergence = op::divergence(inner, options.original_logits, leaf, rows.random_rows);
    inner.backward(divergence, ones);
    probe.divergence = divergence.value();
  }
  if (options.requirements)
    probe.requirement = zeros(tape, {networks, static_cast<std::int64_t>(options.requirements->size())}, dtype);
  if (reads_groups) {
    const TensorView target = objective(objectives - 1);
    for (std::size_t r = 0; r < options.requirements->size(); ++r) {
      const Requirement& requirement = *(*options.requirements)[r];
      if (!requirement.reads_groups()) continue;
      Variable leaf = inner.leaf(logits, target);
      Variable value = requirement.soft(inner, {.logits = leaf, .rows = &rows, .networks = table.networks});
      const TensorView lambda = arena.tensor({networks}, dtype);
      const auto column = static_cast<std::int64_t>(r);
      kernels::read_column({.matrix = options.lambda, .column = column, .vector = lambda}, tape.stream());
      kernels::write_column({.matrix = probe.requirement, .column = column, .vector = value.value()}, tape.stream());
      inner.backward(value, lambda);
    }
  }

  kernels::probe({.table = table,
                  .weight = weight,
                  .x = rows.x,
                  .x_id = rows.x_id,
                  .activation = pass.activation,
                  .slope = pass.slope,
                  .logits = logits,
                  .statistic_rows = rows.random_rows,
                  .grad_logits = grad_logits,
                  .fisher = probe.fisher,
                  .fisher_bias = probe.fisher_bias,
                  .node_mean = probe.mean,
                  .node_rms = probe.rms,
                  .node_correlation = probe.correlation,
                  .gradient = probe.gradient,
                  .gradient_bias = probe.gradient_bias},
                 tape.stream());
  // In an edit nobody reads the neurons of these rows again.
  const auto finish = [&] {
    if (!tape.recording() && !arena.device().is_cuda()) arena.compact(mark, probe.tensors());
    return probe;
  };
  if (!options.feature_offset) return finish();
  const auto measure = [&](const TensorView& deviation) {
    const TensorView result = arena.tensor({networks, options.feature_offset.extent(0) - 1}, dtype);
    kernels::feature_ablation({.table = table,
                               .weight = weight,
                               .bias = bias,
                               .x = rows.x,
                               .x_id = rows.x_id,
                               .logits = options.original_logits ? options.original_logits : logits,
                               .deviation = deviation,
                               .feature_gate = options.feature_gate,
                               .closed_weight = options.original_weight,
                               .beta = options.beta,
                               .feature_offset = options.feature_offset,
                               .divergence = result},
                              tape.stream());
    return result;
  };
  if (options.feature_gate) {
    probe.feature_value = measure(rows.deviation);
    kernels::feature_value({.gate = options.feature_gate, .divergence = probe.divergence, .value = probe.feature_value},
                           tape.stream());
  } else {
    probe.feature_saliency = measure(rows.deviation);
    probe.unique_saliency = measure(rows.unique_deviation);
  }
  return finish();
}

void add_deviations(RowBatch& rows, const TensorView& unique, Arena& arena, Stream stream) {
  const auto deviation = [&](const TensorView& matrix) {
    const TensorView result = arena.tensor({rows.x.extent(1), rows.random_rows}, rows.x.dtype);
    kernels::feature_deviation({.x = rows.x, .unique = matrix, .deviation = result}, stream);
    return result;
  };
  rows.deviation = deviation({});
  if (unique) rows.unique_deviation = deviation(unique);
}

BatchProbe blank_probe(Tape& tape, const kernels::BlockTable& table, DType dtype, std::int64_t objectives,
                       std::int64_t features, std::int64_t requirements) {
  const std::int64_t networks = table.network_count;
  const TensorView edges = zeros(tape, {table.edge_count}, dtype), nodes = zeros(tape, {table.node_count}, dtype),
                   per_feature = zeros(tape, {networks, features}, dtype);
  BatchProbe probe;  // all but `requirement` are only read: they may share their memory
  probe.fisher = edges;
  for (TensorView* view : {&probe.fisher_bias, &probe.mean, &probe.rms, &probe.correlation}) *view = nodes;
  probe.gradient = zeros(tape, {objectives, table.edge_count}, dtype);
  probe.gradient_bias = zeros(tape, {objectives, table.node_count}, dtype);
  for (TensorView* view : {&probe.feature_saliency, &probe.unique_saliency, &probe.feature_value}) *view = per_feature;
  probe.divergence = zeros(tape, {networks}, dtype);
  probe.requirement = zeros(tape, {networks, requirements}, dtype);
  return probe;
}

}  // namespace amend
