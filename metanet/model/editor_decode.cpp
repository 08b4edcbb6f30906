// From the state of an edit to the edited networks, and what of a pass stays.

#include <array>

#include "autograd/op/feature_fold.hpp"
#include "autograd/op/gate.hpp"
#include "kernels/gate_budget.hpp"
#include "metanet/model/editor_context.hpp"

namespace amend {

using kernels::Segments;

/// Logits that leave as many gates open as the limit says.
Variable Editor::limited(Context& c, Variable logit, const Segments& segments, const GateLimit& limit) const {
  if (!limit.budget) return logit;
  check(!c.in.training, "editor", "budgets are for edits: they have no gradient");
  const TensorView shifted = c.tensor(logit.shape());
  kernels::gate_budget({.logit = logit.value(),
                        .counted = limit.counted,
                        .budget = limit.budget,
                        .segments = segments,
                        .shifted = shifted},
                       c.tape.stream());
  return c.tape.constant(shifted);
}

EditorPass Editor::build(Context& c) const {
  const auto options = [&](kernels::GateKind kind, const TensorView& noise) {
    return op::GateOptions{.kind = kind,
                           .training = c.in.training,
                           .temperature = gate_options_.temperature,
                           .bound = gate_options_.bound,
                           .noise = noise};
  };
  EditorPass pass;
  if (gates_.weights) c.state.edge.logit = limited(c, c.state.edge.logit, c.table.network_edges, c.in.weight_limit);
  if (gates_.features) c.state.feature.logit = limited(c, c.state.feature.logit, c.in.feature_rows, c.in.feature_limit);
  const auto weight_kind = gates_.weights ? gate_options_.weight : kernels::GateKind::scale;
  const auto weights =
      op::gate(c.tape, c.state.edge.logit, c.table.network_edges, options(weight_kind, c.weight_noise));
  if (gates_.weights) {
    pass.weight_share = weights.penalty;
    pass.weight_barrier = weights.barrier;
  }
  Variable neuron_gate, feature_gate, base;
  if (gates_.neurons) {
    const Variable hidden =
        limited(c, op::hidden_rows(c.tape, c.table, c.state.node.logit), c.table.network_hidden, c.in.neuron_limit);
    const auto neurons =
        op::gate(c.tape, hidden, c.table.network_hidden, options(gate_options_.neuron, c.neuron_noise));
    neuron_gate = neurons.gate;
    pass.neuron_share = neurons.penalty;
    pass.neuron_barrier = neurons.barrier;
  }
  if (gates_.features) {
    const auto features =
        op::gate(c.tape, c.state.feature.logit, c.in.feature_rows, options(gate_options_.feature, c.feature_noise));
    pass.feature_gate = c.tape.reshape(features.gate, {c.table.network_count, c.in.features()});
    // The divergence is flat where all features are open: its slope says nothing of closing one. Whoever trains gives a
    // measured slope to pass.feature_gate.
    feature_gate = gate_options_.feature == kernels::GateKind::straight_through ? c.tape.detach(pass.feature_gate)
                                                                                : pass.feature_gate;
    const op::FoldedFeatures folded =
        op::feature_fold(c.tape, c.table, c.in.weight, feature_gate, c.in.feature_offset, c.in.covariance);
    base = folded.base;
    pass.beta = folded.beta;
    pass.feature_share = features.penalty;
    pass.feature_barrier = features.barrier;
  }
  const Variable node_gate = op::node_gate(c.tape, c.table, c.dtype, feature_gate, c.in.input_feature, neuron_gate);
  pass.edited = op::apply_edit(c.tape, c.table,
                               {.weight = c.in.weight, .bias = c.in.bias, .mean = c.in.probe.mean, .scale = c.scale},
                               weights.gate, c.state.edge.residual, node_gate, c.state.node.residual, base);
  c.edited = pass.edited;
  // Biases tell of the means that were folded into them, weights of the covariance.
  if (!shape_.probe_features)
    c.edited = op::apply_edit(c.tape, c.table,
                              {.weight = c.in.weight, .bias = c.in.bias, .mean = c.original.mean, .scale = c.scale},
                              c.tape.detach(weights.gate), c.tape.detach(c.state.edge.residual),
                              c.tape.detach(node_gate), c.tape.detach(c.state.node.residual));
  return pass;
}

/// Frees what was allocated after the mark but for what a later pass or the caller reads of `pass`.
void Editor::keep(Context& c, EditorPass& pass, const Arena::Mark& mark) const {
  static_assert(sizeof(EditorPass) == 9 * sizeof(Variable) + sizeof(TensorView), "every member must be kept");
  std::array variables{&c.state.edge.logit,    &c.state.edge.residual, &c.state.node.logit,
                       &c.state.node.residual, &c.state.feature.logit, &c.state.feature.residual,
                       &c.edited.weight,       &c.edited.bias,         &c.pooled,
                       &pass.edited.weight,    &pass.edited.bias,      &pass.weight_share,
                       &pass.neuron_share,     &pass.feature_share,    &pass.weight_barrier,
                       &pass.neuron_barrier,   &pass.feature_barrier,  &pass.feature_gate};
  std::array<TensorView, variables.size()> values;
  std::array<TensorView*, variables.size() + 1> tensors;
  for (std::size_t i = 0; i < variables.size(); ++i) {
    if (*variables[i]) values[i] = variables[i]->value();
    tensors[i] = &values[i];
  }
  tensors.back() = &pass.beta;
  c.tape.arena().compact(mark, tensors);
  for (std::size_t i = 0; i < variables.size(); ++i)
    if (values[i]) *variables[i] = c.tape.constant(values[i]);
}

}  // namespace amend
