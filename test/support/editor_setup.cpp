#include "test/support/editor_setup.hpp"

#include <cstring>

#include "autograd/op/divergence.hpp"
#include "autograd/op/reduce.hpp"
#include "autograd/op/subject_forward.hpp"
#include "engine/random.hpp"
#include "kernels/fill.hpp"
#include "metanet/train/row_sampler.hpp"
#include "requirements/registry.hpp"

namespace amend::test {

namespace {

Rows small_rows(std::int64_t count, std::uint32_t stream) {
  const RandomStream random(31, stream), levels(32, stream);
  Rows rows;
  rows.count = count;
  rows.sensitive.resize(2);
  for (std::int64_t r = 0; r < count; ++r) {
    const auto at = static_cast<std::uint64_t>(r) * 8;
    const float a = random.normal(at), b = random.normal(at + 1), c = random.normal(at + 2);
    const std::uint32_t level = levels.below(at, 3), group = levels.below(at + 1, 2), region = levels.below(at + 2, 3);
    const float d = 0.5f * random.normal(at + 3) + (group == 1 ? 0.8f : -0.8f);
    rows.input.insert(rows.input.end(),
                      {a, b, level == 0 ? 1.0f : 0.0f, level == 1 ? 1.0f : 0.0f, level == 2 ? 1.0f : 0.0f, c, d});
    const float score = a - 0.7f * b + (level == 2 ? 0.8f : -0.3f) + (group == 1 ? 0.4f : -0.4f);
    rows.label.push_back(score + 0.5f * random.normal(at + 4) > 0.0f ? 1 : 0);
    rows.sensitive[0].push_back(static_cast<std::int32_t>(group));
    rows.sensitive[1].push_back(static_cast<std::int32_t>(region));
  }
  return rows;
}

Tensor copy(const TensorView& view, DType dtype) { return view ? convert(view, dtype) : Tensor(); }

}  // namespace

Dataset small_dataset(std::int64_t rows) {
  Dataset dataset;
  dataset.name = "small";
  dataset.source = "small.yaml";
  dataset.fingerprint = "0123456789abcdef";
  dataset.features = {{.name = "a", .first_input = 0},
                      {.name = "b", .first_input = 1},
                      {.name = "level", .kind = ColumnKind::categorical, .first_input = 2, .input_count = 3},
                      {.name = "c", .first_input = 5},
                      {.name = "d", .first_input = 6}};
  dataset.inputs = 7;
  dataset.class_names = {"no", "yes"};
  dataset.sensitive = {{"group", {"x", "y"}}, {"region", {"north", "south", "west"}}};
  std::uint32_t stream = 0;
  for (Rows* split : {&dataset.subject_train, &dataset.editor_train, &dataset.validation, &dataset.audit})
    *split = small_rows(rows, stream++);
  return dataset;
}

Dataset other_dataset(std::int64_t rows) {
  Dataset dataset = small_dataset(rows);
  dataset.name = "other";
  dataset.source = "other.yaml";
  dataset.fingerprint = "fedcba9876543210";
  dataset.features = {{.name = "level", .kind = ColumnKind::categorical, .first_input = 0, .input_count = 3},
                      {.name = "b", .first_input = 3},
                      {.name = "lower", .kind = ColumnKind::categorical, .first_input = 4, .input_count = 2}};
  dataset.inputs = 6;
  dataset.sensitive = {dataset.sensitive[1]};
  for (Rows* split : {&dataset.subject_train, &dataset.editor_train, &dataset.validation, &dataset.audit}) {
    std::vector<float> input;
    for (std::int64_t r = 0; r < split->count; ++r) {
      const float* row = split->input.data() + r * 7;
      const float lower = row[5] < 0.0f ? 1.0f : 0.0f;
      input.insert(input.end(), {row[2], row[3], row[4], row[1], lower, 1.0f - lower});
    }
    split->input = std::move(input);
    split->sensitive.erase(split->sensitive.begin());
  }
  return dataset;
}

std::vector<SubjectNetwork> mixed_networks(int count, std::uint64_t seed, int inputs) {
  static const std::vector<std::vector<int>> shapes = {{7, 6, 2}, {7, 5, 4, 2}, {7, 9, 2}, {7, 3, 4, 3, 2}, {7, 2}};
  static const Activation activations[] = {Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid};
  std::vector<SubjectNetwork> networks;
  for (int n = 0; n < count; ++n) {
    std::vector<int> widths = shapes[static_cast<std::size_t>(n) % shapes.size()];
    widths.front() = inputs;
    networks.push_back(random_network(widths, activations[n % 4], seed * 1000 + static_cast<std::uint64_t>(n)));
  }
  return networks;
}

Population small_population(const Dataset& dataset, int count) {
  Population population;
  population.dataset_name = dataset.name;
  population.dataset_source = dataset.source;
  population.dataset_fingerprint = dataset.fingerprint;
  population.networks = mixed_networks(count, 7, dataset.inputs);
  for (int n = 0; n < count; ++n)
    population.split.push_back(n % 3 == 2 ? PopulationSplit::validation : PopulationSplit::train);
  population.attributes.resize(population.networks.size(), nlohmann::json::object());
  return population;
}

EditorConfig small_config(const EditorCase& which) {
  std::string text = "requirements:\n";
  for (const std::string& name : which.requirements) text += "  " + name + ": {}\n";
  text += "editor: {node_width: 8, edge_width: " + std::to_string(which.edge_width) +
          ", refine_width: 6, messages: " + std::to_string(which.messages) +
          ", passes: " + std::to_string(which.passes) +
          ", input_embedding: " + (which.input_embedding ? "true" : "false") + which.editor + "}\n";
  text += "gates: {weight: " + which.gate + ", neuron: " + which.gate + ", feature: " + which.gate + "}\n";
  text += "training:\n  seed: 3\n  edit_probe_rows: 96\n  edit_probe_cell_rows: 32\n" + which.more;
  return parse_editor_config(text, "small.yaml");
}

TrainedEditor small_editor(const EditorCase& which, const Dataset& dataset, DType dtype, double deviation) {
  TrainedEditor trained = make_editor(small_config(which), dataset, make_requirements, dtype, Device::cpu());
  if (deviation > 0.0) trained.editor->randomise(5, deviation);
  return trained;
}

std::vector<double> spread_lambda(const TrainedEditor& trained, std::size_t networks) {
  std::vector<double> lambda;
  for (std::size_t n = 0; n < networks; ++n)
    for (std::size_t r = 0; r < trained.config.lambda.size(); ++r)
      lambda.push_back(trained.config.lambda[r].at_strength(0.02 + 0.4 * static_cast<double>((3 * n + 2 * r) % 7) / 7));
  return lambda;
}

EditRun run_editor(const TrainedEditor& trained, const Dataset& dataset, const std::vector<SubjectNetwork>& networks,
                   const std::vector<double>& lambda, const EditRunOptions& options) {
  const ThreadCount one(1);  // many small runs: starting threads would be most of the work
  const Editor& editor = *trained.editor;
  const DType dtype = editor.dtype();
  const auto requirements = static_cast<std::int64_t>(editor.requirements().size());
  Arena arena;
  Tape tape(arena, Stream{}), inner(arena, Stream{});
  tape.set_recording(options.gradients || options.training);
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : networks) pointers.push_back(&network);
  const GraphBatch graph(pointers);
  const EditorData data = make_editor_data(dataset, trained.groups_on(dataset), arena, dtype);
  EditorInputs inputs = make_inputs(graph, pointers, editor, data, arena);
  encode_condition(inputs, lambda, trained.config.lambda, arena, dtype);
  const RowSampler sampler(dataset, dataset.editor_train, trained.groups_on(dataset));
  RowBatch rows = sampler.draw(arena, 64, 16, RandomStream(5, options.probe_draw), dtype);
  add_deviations(rows, data.unique, arena, Stream{});
  const TensorView all_on = arena.tensor(inputs.lambda.shape, dtype);
  kernels::fill({.y = all_on, .value = 1.0}, Stream{});
  inputs.probe = probe_networks(tape, inner, graph.table(), inputs.weight, inputs.bias,
                                {.rows = &rows,
                                 .feature_offset = editor.gates().features ? data.feature_offset : TensorView{},
                                 .requirements = &editor.requirements(),
                                 .lambda = editor.reads_groups() ? all_on : TensorView{}});
  if (!options.folds) kernels::fill({.y = inputs.probe.mean, .value = 0.0}, Stream{});
  inputs.rows = &rows;
  inputs.original_logits = inputs.probe.logits;
  inputs.inner = &inner;
  inputs.training = options.training;
  inputs.noise_seed = 11;
  EditRun run;
  if (options.gradients) {
    run.grad = Tensor({editor.parameters().count()}, dtype);
    inputs.grad = run.grad;
  }
  std::vector<EditorPass> passes;
  editor.run(tape, inputs, passes);

  const RowBatch loss_rows = sampler.draw(arena, 80, 20, RandomStream(5, 2), dtype);
  const TensorView original = original_logits(tape, inputs, loss_rows);
  Variable total;
  const auto add = [&](Variable term, double scale, std::int64_t requirement) {
    const TensorView coefficient = arena.tensor(term.shape(), dtype);
    for (std::int64_t n = 0; n < coefficient.count(); ++n) {
      const double weight =
          scale * (requirement < 0 ? 1.0 : lambda[static_cast<std::size_t>(n * requirements + requirement)]);
      if (dtype == DType::float64)
        coefficient.as<double>()[n] = weight;
      else
        coefficient.as<float>()[n] = static_cast<float>(weight);
    }
    const Variable part = op::weighted_sum(tape, term, coefficient);
    total = total ? op::add(tape, total, part) : part;
  };
  for (const EditorPass& pass : passes) {
    const bool last = &pass == &passes.back();
    const double scale = last ? 1.0 : 0.3;
    const Variable logits =
        op::subject_forward(tape, graph.table(), pass.edited.weight, pass.edited.bias, loss_rows.x).logits;
    std::vector<Variable> terms{op::divergence(tape, original, logits, loss_rows.random_rows)};
    for (const auto& requirement : editor.requirements())
      terms.push_back(requirement->soft(tape, {.logits = logits,
                                               .rows = &loss_rows,
                                               .networks = graph.table().networks,
                                               .weight_share = pass.weight_share,
                                               .neuron_share = pass.neuron_share,
                                               .feature_share = pass.feature_share}));
    if (options.scalarisation == Scalarisation::chebyshev) {
      const auto networks_count = static_cast<std::int64_t>(networks.size());
      const TensorView coefficient = arena.tensor({networks_count}, dtype),
                       slope = arena.tensor({requirements + 1, networks_count}, dtype);
      kernels::fill({.y = coefficient, .value = scale}, Stream{});
      total = add_chebyshev(tape, inner, total, terms,
                            stage_chebyshev(lambda, static_cast<std::size_t>(requirements), arena, dtype), coefficient,
                            slope);
    } else {
      for (std::int64_t r = -1; r < requirements; ++r) add(terms[static_cast<std::size_t>(r + 1)], scale, r);
    }
    if (last)
      for (const Variable& barrier : {pass.weight_barrier, pass.neuron_barrier, pass.feature_barrier})
        if (barrier) add(barrier, 0.1, -1);
  }
  run.loss = values(total.value())[0];
  const op::EditedNetwork& edited = passes.back().edited;
  if (options.gradients) {
    tape.backward(total);
    run.grad_weight = copy(edited.weight.grad(), dtype);
    run.grad_bias = copy(edited.bias.grad(), dtype);
  }
  run.weight = copy(edited.weight.value(), dtype);
  run.bias = copy(edited.bias.value(), dtype);
  return run;
}

}  // namespace amend::test
