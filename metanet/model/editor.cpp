#include "metanet/model/editor_context.hpp"

#include "autograd/op/edge_embed_update.hpp"
#include "autograd/op/embedding.hpp"
#include "autograd/op/feature_pool.hpp"
#include "autograd/op/linear.hpp"
#include "autograd/op/node_update.hpp"
#include "autograd/op/pointwise.hpp"
#include "autograd/op/reduce.hpp"
#include "kernels/column.hpp"
#include "kernels/edit_features.hpp"
#include "kernels/fill.hpp"
#include "kernels/message_layers.hpp"
#include "kernels/network_features.hpp"

namespace amend {

using kernels::PointwiseOp;
using kernels::Segments;

namespace {

constexpr std::uint32_t kWeightNoise = 0, kNeuronNoise = 1, kFeatureNoise = 2, kNoises = 4;

/// Column of the first requirement that gives an editor this kind of gate, or -1.
template <class Gate>
std::int64_t column_of(const Requirements& requirements, Gate gate) {
  for (std::size_t r = 0; r < requirements.size(); ++r)
    if (gate(requirements[r]->gates())) return static_cast<std::int64_t>(r);
  return -1;
}

}  // namespace

Variable Editor::use(Context& c, int index) const { return parameters_.use(c.tape, index, c.in.grad); }

Variable Editor::linear(Context& c, const LinearIndex& index, Variable x, const Segments& segments) const {
  return op::linear(c.tape, x, use(c, index.weight), use(c, index.bias), segments);
}

/// What `edits` leaves of a state, for the edit and for the passes that read it: without residuals w' is w times its
/// gates, and a scale of logit 0 is exactly 1.
op::EditState Editor::permitted(Context& c, const op::EditState& state) const {
  if (shape_.edits == Edits::both) return state;
  const TensorView zeros = c.tensor(state.logit.shape());
  kernels::fill({.y = zeros, .value = 0.0}, c.tape.stream());
  const Variable none = c.tape.constant(zeros);
  return shape_.edits == Edits::mask ? op::EditState{state.logit, none} : op::EditState{none, state.residual};
}

void Editor::embed(Context& c) const {
  const EditorInputs& in = c.in;
  const std::int64_t networks = c.table.network_count;
  const auto lambda_of = [&](std::int64_t column) {
    if (column < 0) return TensorView{};
    const TensorView lambda = c.tensor({networks});
    kernels::read_column({.matrix = in.lambda, .column = column, .vector = lambda}, c.tape.stream());
    return lambda;
  };
  c.weight_lambda = lambda_of(column_of(requirements_, [](EditGates g) { return g.weights; }));
  c.neuron_lambda = lambda_of(column_of(requirements_, [](EditGates g) { return g.neurons; }));
  c.feature_lambda = lambda_of(column_of(requirements_, [](EditGates g) { return g.features; }));
  const auto schedule = [&](std::int64_t row) {
    return in.noise_schedule ? reshape(slice_rows(in.noise_schedule, row, 1), {2}) : TensorView{};
  };
  const auto noise = [&](bool wanted, std::int64_t count, std::uint32_t stream, double scale = 1.0) {
    if (!wanted || !in.training) return TensorView{};
    const TensorView y = c.tensor({count});
    kernels::logistic_noise({.y = y,
                             .seed = in.noise_seed,
                             .stream = 0x4e000000 + in.noise_shard * kNoises + stream,
                             .step = in.noise_step,
                             .scale = scale,
                             .schedule = schedule(stream == kFeatureNoise ? 1 : 0)},
                            c.tape.stream());
    return y;
  };
  c.weight_noise = noise(gates_.weights, c.table.edge_count, kWeightNoise);
  c.neuron_noise = noise(gates_.neurons, c.table.hidden_count, kNeuronNoise);
  c.feature_noise = noise(gates_.features, networks * in.features(), kFeatureNoise, in.feature_noise);

  c.scale = c.tensor({c.table.block_count});
  const TensorView edge_scales = c.tensor({c.table.block_count, kernels::kEdgeScales});
  const TensorView energy = c.tensor({c.table.node_count});
  const TensorView node_feature = c.tensor({c.table.node_count, kernels::kNodeFeatures});
  // Without lambda the kernel forms no prior, neither for the logits nor as a feature.
  const bool priors = shape_.probe_features;
  if (gates_.weights && priors) c.prior = c.tensor({c.table.edge_count});
  if (gates_.neurons && priors) c.neuron_prior = c.tensor({c.table.node_count});
  const auto first_objective = [](const TensorView& gradient) {
    return gradient ? reshape(slice_rows(gradient, 0, 1), {gradient.extent(1)}) : TensorView{};
  };
  kernels::edit_features({.table = c.table,
                          .weight = in.weight,
                          .bias = in.bias,
                          .fisher = c.original.fisher,
                          .fisher_bias = c.original.fisher_bias,
                          .mean = c.original.mean,
                          .rms = c.original.rms,
                          .correlation = c.original.correlation,
                          .gradient = first_objective(c.original.gradient),
                          .gradient_bias = first_objective(c.original.gradient_bias),
                          .lambda = priors ? c.weight_lambda : TensorView{},
                          .neuron_lambda = priors ? c.neuron_lambda : TensorView{},
                          .scale = c.scale,
                          .edge_scales = edge_scales,
                          .energy = energy,
                          .node_feature = node_feature,
                          .prior = c.prior,
                          .neuron_prior = c.neuron_prior},
                         c.tape.stream());

  Variable hidden = linear(c, condition1_, c.tape.constant(in.condition), c.table.networks);
  hidden = linear(c, condition2_, op::pointwise(c.tape, PointwiseOp::silu, hidden), c.table.networks);
  c.condition = op::pointwise(c.tape, PointwiseOp::silu, hidden);
  c.node = linear(c, node_embed_, c.tape.constant(node_feature), c.table.network_nodes);
  c.node = op::embedding_add(c.tape, c.node, use(c, entry_embed_), in.node_entry);
  if (statistics_embed_ >= 0) {
    const Variable column =
        op::linear(c.tape, c.tape.constant(in.statistics), use(c, statistics_embed_), {}, in.statistic_rows);
    c.node = op::embedding_add(c.tape, c.node, column, in.input_column);
  }
  c.edge.features.first = {.weight = in.weight,
                           .fisher = c.original.fisher,
                           .gradient = first_objective(c.original.gradient),
                           .rms = c.original.rms,
                           .energy = energy,
                           .scales = edge_scales};
}

void Editor::exchange_messages(Context& c) const {
  if (message_.empty()) return;
  // Modulation and step sizes start from constants; what the condition adds starts at zero.
  const std::int64_t d = shape_.edge_width, h = shape_.node_width;
  const auto modulations = [&](const MessageIndex& m) {
    const TensorView start = c.tensor({c.table.network_count, 3 * d});
    kernels::modulation_start({.y = start, .ones = d, .step = 0.5}, c.tape.stream());
    return op::add(c.tape, linear(c, m.modulation, c.condition, c.table.networks), c.tape.constant(start));
  };
  const auto alphas = [&](const MessageIndex& m) {
    const TensorView half = c.tensor({c.table.network_count, h});
    kernels::fill({.y = half, .value = 0.5}, c.tape.stream());
    return op::add(c.tape, linear(c, m.alpha, c.condition, c.table.networks), c.tape.constant(half));
  };
  if (!c.tape.recording()) {
    // All layers at once, the states in place: no memory but that of one layer. States are as narrow as the products
    // take them.
    const TensorView edge = c.tape.arena().tensor(
        {c.table.edge_count, d}, shape_.precision == kernels::Precision::bf16 ? DType::bfloat16 : c.dtype);
    c.edge.rows = c.tape.constant(edge);
    kernels::MessageLayers layers{.table = c.table,
                                  .embed = {.table = c.table,
                                            .input = {.first = c.edge.features.first},
                                            .weight = use(c, edge_embed_.weight).value(),
                                            .bias = use(c, edge_embed_.bias).value(),
                                            .out = edge},
                                  .edge = edge,
                                  .node = c.node.value(),
                                  .condition = c.condition.value(),
                                  .edge_out = edge,
                                  .node_out = c.node.value(),
                                  .projection = c.tensor({c.table.node_count, 4 * d}),
                                  .aggregate = c.tensor({c.table.node_count, 2 * d}),
                                  .precision = shape_.precision};
    const auto value = [&](int index) { return use(c, index).value(); };
    for (const MessageIndex& m : message_)
      layers.layer[layers.layers++] = {.projection_weight = value(m.projection.weight),
                                       .projection_bias = value(m.projection.bias),
                                       .weight_c = value(m.weight_c),
                                       .weight_g = value(m.weight_g),
                                       .modulation = modulations(m).value(),
                                       .weight1 = value(m.first.weight),
                                       .bias1 = value(m.first.bias),
                                       .weight2 = value(m.second.weight),
                                       .bias2 = value(m.second.bias),
                                       .alpha = alphas(m).value()};
    kernels::message_layers(layers, c.tape.stream());
    return;
  }
  for (const MessageIndex& m : message_) {
    const Variable projection = linear(c, m.projection, c.node, c.table.network_nodes), weight_c = use(c, m.weight_c),
                   weight_g = use(c, m.weight_g), modulation = modulations(m);
    const auto message = c.edge.rows
                             ? op::edge_update(c.tape, c.table, c.edge.rows, projection, weight_c, weight_g, modulation,
                                               shape_.precision)
                             : op::edge_embed_update(c.tape, c.table, c.edge.features, use(c, edge_embed_.weight),
                                                     use(c, edge_embed_.bias), projection, weight_c, weight_g,
                                                     modulation, shape_.precision);
    c.edge.rows = message.edge;
    const op::NodeUpdateParameters mlp{use(c, m.first.weight), use(c, m.first.bias), use(c, m.second.weight),
                                       use(c, m.second.bias)};
    c.node = op::node_update(c.tape, c.table, c.node, message.aggregate, c.condition, mlp, alphas(m));
  }
}

void Editor::first_pass(Context& c) const {
  const auto silu = [&](Variable x) { return op::pointwise(c.tape, PointwiseOp::silu, x); };
  const Segments& nodes = c.table.network_nodes;
  const Segments& networks = c.table.networks;
  Variable projection = linear(c, edge_projection_, c.node, nodes);
  projection = op::segment_add(c.tape, projection, linear(c, edge_projection_condition_, c.condition, networks), nodes);
  const Variable out = op::edit_head(c.tape, c.table,
                                     {.edge = c.edge,
                                      .weight = use(c, edge_weight_),
                                      .projection = projection,
                                      .kind_bias = use(c, edge_kind_bias_),
                                      .head = use(c, edge_out_),
                                      .head_bias = use(c, edge_out_bias_)});
  c.state.edge = permitted(c, op::edit_step(c.tape, out, {},
                                            {.logit_scale = gates_.weights ? 3.0 : 1.0,
                                             .prior = c.prior,
                                             .prior_gain = gates_.weights ? use(c, edge_prior_gain_) : Variable()}));

  Variable hidden = linear(c, node_head_.node, c.node, nodes);
  hidden = silu(op::segment_add(c.tape, hidden, linear(c, node_head_.condition, c.condition, networks), nodes));
  c.state.node = permitted(c, op::edit_step(c.tape, linear(c, node_head_.out, hidden, nodes), {},
                                            {.prior = c.neuron_prior,
                                             .prior_gain = gates_.neurons ? use(c, neuron_prior_gain_) : Variable()}));

  if (!gates_.features) return;
  const Segments& rows = c.in.feature_rows;
  c.pooled = op::feature_pool(c.tape, c.table, c.node, c.in.feature_offset);
  const std::int64_t count = std::int64_t{rows.count} * c.in.features();
  const TensorView feature = c.tensor({count, kernels::kFeatureGateFeatures});
  c.feature_prior = c.tensor({count});
  kernels::feature_gate_features({.table = c.table,
                                  .input_feature = c.in.input_feature,
                                  .saliency = c.original.feature_saliency,
                                  .unique_saliency = c.original.unique_saliency,
                                  .lambda = c.feature_lambda,
                                  .feature = feature,
                                  .prior = c.feature_prior},
                                 c.tape.stream());
  hidden = op::add(c.tape, linear(c, feature_head_.node, c.pooled, rows),
                   linear(c, feature_input_, c.tape.constant(feature), rows));
  hidden = silu(op::segment_add(c.tape, hidden, linear(c, feature_head_.condition, c.condition, networks), rows));
  c.state.feature = op::edit_step(
      c.tape, linear(c, feature_head_.out, hidden, rows), {},
      {.prior = shape_.probe_features ? c.feature_prior : TensorView{}, .prior_gain = use(c, feature_prior_gain_)});
}

void Editor::refine(Context& c, int pass, const EditorPass& before) const {
  const auto silu = [&](Variable x) { return op::pointwise(c.tape, PointwiseOp::silu, x); };
  const auto value = [](Variable x) { return x ? x.value() : TensorView{}; };
  const EditorInputs& in = c.in;
  const Segments& nodes = c.table.network_nodes;
  const Segments& networks = c.table.networks;
  const auto requirements = static_cast<std::int64_t>(requirements_.size());

  check(in.inner != nullptr && &in.inner->arena() == &c.tape.arena(), "editor",
        "refinement needs an inner tape on the same arena");
  const BatchProbe probe =
      !shape_.probe_features
          ? c.original
          : probe_networks(c.tape, *in.inner, c.table, value(before.edited.weight), value(before.edited.bias),
                           {.rows = in.rows,
                            .feature_offset = gates_.features ? in.feature_offset : TensorView{},
                            .original_logits = in.original_logits,
                            .requirements = &requirements_,
                            .lambda = in.lambda,
                            .feature_gate = value(before.feature_gate),
                            .original_weight = in.weight,
                            .beta = before.beta});
  // Requirements that count gates: their value is the share that is open.
  for (std::int64_t r = 0; r < requirements; ++r) {
    const EditGates gates = requirements_[static_cast<std::size_t>(r)]->gates();
    const Variable share = gates.weights    ? before.weight_share
                           : gates.neurons  ? before.neuron_share
                           : gates.features ? before.feature_share
                                            : Variable();
    if (share)
      kernels::write_column({.matrix = probe.requirement, .column = r, .vector = share.value()}, c.tape.stream());
  }
  const TensorView network_feature = c.tensor({c.table.network_count, kernels::network_feature_count(requirements)});
  const TensorView reference = c.tensor({c.table.network_count});
  kernels::network_features({.divergence = probe.divergence,
                             .requirement = probe.requirement,
                             .lambda = in.lambda,
                             .pass = pass,
                             .feature = network_feature,
                             .reference = reference},
                            c.tape.stream());

  const std::int64_t steps = objectives_;
  const TensorView edge_scales = c.tensor({c.table.block_count, kernels::refine_edge_scales(steps)});
  const TensorView node_feature = c.tensor({c.table.node_count, kernels::refine_node_features(steps)});
  const TensorView edge_step = c.tensor({c.table.edge_count, steps}), node_step = c.tensor({c.table.node_count, steps});
  kernels::refine_features({.table = c.table,
                            .edited_bias = c.edited.bias.value(),
                            .scale = c.scale,
                            .bias_residual = c.state.node.residual.value(),
                            .fisher = probe.fisher,
                            .fisher_bias = probe.fisher_bias,
                            .mean = probe.mean,
                            .rms = probe.rms,
                            .correlation = probe.correlation,
                            .original_fisher_bias = c.original.fisher_bias,
                            .original_mean = c.original.mean,
                            .original_rms = c.original.rms,
                            .gradient = probe.gradient,
                            .gradient_bias = probe.gradient_bias,
                            .lambda = gates_.weights ? c.weight_lambda : reference,
                            .edge_scales = edge_scales,
                            .edge_step = edge_step,
                            .node_feature = node_feature,
                            .node_step = node_step},
                           c.tape.stream());

  const Variable condition =
      op::add(c.tape, c.condition, linear(c, refine_network_, c.tape.constant(network_feature), networks));
  const Variable read = c.tape.constant(node_feature);
  Variable projection =
      op::add(c.tape, linear(c, refine_projection_, c.node, nodes), linear(c, refine_node_features_, read, nodes));
  projection = op::segment_add(c.tape, projection, linear(c, refine_condition_, condition, networks), nodes);
  const Arena::Mark mark = c.tape.arena().mark();
  const Variable out = op::edit_head(c.tape, c.table,
                                     {.edge = c.edge,
                                      .weight = use(c, refine_edge_),
                                      .edge2 = {.features = {.refine = {.weight = in.weight,
                                                                        .edited_weight = c.edited.weight.value(),
                                                                        .logit = c.state.edge.logit.value(),
                                                                        .residual = c.state.edge.residual.value(),
                                                                        .fisher = probe.fisher,
                                                                        .gradient = probe.gradient,
                                                                        .step = edge_step,
                                                                        .scales = edge_scales}}},
                                      .weight2 = use(c, refine_feature_),
                                      .projection = projection,
                                      .kind_bias = use(c, refine_kind_bias_),
                                      .mix = use(c, refine_mix_),
                                      .head = use(c, refine_out_),
                                      .head_bias = use(c, refine_out_bias_)});
  const op::EditState moved =
      op::edit_step(c.tape, out, c.state.edge,
                    {.logit_scale = gates_.weights ? 3.0 : 1.0, .step = edge_step, .in_place = !c.tape.recording()});
  if (c.tape.recording())
    c.state.edge = moved;
  else  // it moved in place, and nobody reads `out` again
    c.tape.arena().rewind(mark);
  c.state.edge = permitted(c, c.state.edge);

  Variable hidden = op::add(c.tape, linear(c, refine_node_head_.node, c.node, nodes),
                            linear(c, refine_node_head_features_, read, nodes));
  hidden = silu(op::segment_add(c.tape, hidden, linear(c, refine_node_head_.condition, condition, networks), nodes));
  c.state.node = permitted(
      c, op::edit_step(c.tape, linear(c, refine_node_head_.out, hidden, nodes), c.state.node, {.step = node_step}));

  if (!gates_.features) return;
  const Segments& rows = in.feature_rows;
  const std::int64_t count = std::int64_t{rows.count} * in.features();
  const TensorView feature = c.tensor({count, kernels::kFeatureGateFeatures}), prior = c.tensor({count});
  kernels::feature_gate_features({.table = c.table,
                                  .input_feature = in.input_feature,
                                  .saliency = c.original.feature_saliency,
                                  .unique_saliency = c.original.unique_saliency,
                                  .lambda = c.feature_lambda,
                                  .weight = in.weight,
                                  .gradient = reshape(slice_rows(probe.gradient, 0, 1), {c.table.edge_count}),
                                  .value = probe.feature_value,
                                  .feature_gate = before.feature_gate.value(),
                                  .logit = c.state.feature.logit.value(),
                                  .feature = feature,
                                  .prior = prior},
                                 c.tape.stream());
  hidden = op::add(c.tape, linear(c, refine_feature_head_.node, c.pooled, rows),
                   linear(c, refine_feature_input_, c.tape.constant(feature), rows));
  hidden = silu(op::segment_add(c.tape, hidden, linear(c, refine_feature_head_.condition, condition, networks), rows));
  c.state.feature = op::edit_step(
      c.tape, linear(c, refine_feature_head_.out, hidden, rows), c.state.feature,
      {.prior = shape_.probe_features ? prior : TensorView{}, .prior_gain = use(c, refine_feature_prior_gain_)});
}

void Editor::run(Tape& tape, const EditorInputs& inputs, std::vector<EditorPass>& passes) const {
  Context context{.tape = tape, .in = inputs, .table = *inputs.table, .dtype = dtype(), .original = inputs.probe};
  // Without probe features everything stays as it is but what is read: zeros. The kernels add a constant before every
  // logarithm and division, so that features of zeros are finite constants of weights, lambda and sizes. Newton moves
  // are 0, and the priors, which would be constants, are left out. Only the decoder (`build`) sees the data, the mean
  // activations that it folds into biases and the covariance by which it replaces closed features, and what it makes
  // of them is not read again.
  if (!shape_.probe_features)
    context.original = blank_probe(tape, context.table, dtype(), objectives_, inputs.features(),
                                   static_cast<std::int64_t>(requirements_.size()));
  passes.clear();
  embed(context);
  exchange_messages(context);
  // On a device all passes stay: `compact` moves host memory.
  const bool keeps_last = !tape.recording() && !tape.arena().device().is_cuda();
  const Arena::Mark mark = tape.arena().mark();
  for (int pass = 0; pass < shape_.passes; ++pass) {
    if (pass == 0)
      first_pass(context);
    else
      refine(context, pass, passes.back());
    EditorPass built = build(context);
    if (keeps_last) {
      passes.clear();
      keep(context, built, mark);
    }
    passes.push_back(built);
  }
}

}  // namespace amend
