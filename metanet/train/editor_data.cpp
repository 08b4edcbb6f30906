#include "metanet/train/editor_data.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/op/subject_forward.hpp"
#include "engine/copy.hpp"
#include "kernels/cpu/cholesky.hpp"
#include "kernels/feature_fold.hpp"
#include "metanet/train/input_statistics.hpp"

namespace amend {

namespace {

void fill_covariance(const Rows& rows, std::int64_t inputs, double* covariance) {
  std::vector<double> mean(static_cast<std::size_t>(inputs), 0.0);
  const double count = static_cast<double>(rows.count);
  for (std::int64_t row = 0; row < rows.count; ++row) {
    const float* x = rows.input.data() + row * inputs;
    for (std::int64_t i = 0; i < inputs; ++i) {
      if (x[i] == 0.0f) continue;  // most inputs of a one-hot row
      mean[static_cast<std::size_t>(i)] += static_cast<double>(x[i]);
      for (std::int64_t j = 0; j <= i; ++j)
        covariance[i * inputs + j] += static_cast<double>(x[i]) * static_cast<double>(x[j]);
    }
  }
  for (double& value : mean) value /= count;
  for (std::int64_t i = 0; i < inputs; ++i)
    for (std::int64_t j = 0; j <= i; ++j)
      covariance[i * inputs + j] = covariance[j * inputs + i] =
          covariance[i * inputs + j] / count - mean[static_cast<std::size_t>(i)] * mean[static_cast<std::size_t>(j)];
}

/// I - regression of every input on the inputs of all other features, with the ridge of feature_fold.
void fill_unique(const Dataset& dataset, const double* covariance, const TensorView& unique) {
  const std::int64_t inputs = dataset.inputs;
  const auto put = [&](std::int64_t i, std::int64_t j, double value) {
    if (unique.dtype == DType::float64)
      unique.as<double>()[i * inputs + j] = value;
    else
      unique.as<float>()[i * inputs + j] = static_cast<float>(value);
  };
  for (const Feature& feature : dataset.features) {
    std::vector<std::int64_t> others;
    for (std::int64_t j = 0; j < inputs; ++j)
      if (j < feature.first_input || j >= feature.first_input + feature.input_count) others.push_back(j);
    const std::size_t n = others.size();
    std::vector<double> matrix(n * n), right(static_cast<std::size_t>(feature.input_count) * n);
    double trace = 0.0;
    for (std::size_t p = 0; p < n; ++p) {
      trace += covariance[others[p] * inputs + others[p]];
      for (std::size_t q = 0; q < n; ++q) matrix[p * n + q] = covariance[others[p] * inputs + others[q]];
    }
    for (std::size_t p = 0; p < n; ++p)
      matrix[p * n + p] += kernels::kFoldRidge * trace / static_cast<double>(n) + 1e-9;
    for (int r = 0; r < feature.input_count; ++r)
      for (std::size_t q = 0; q < n; ++q)
        right[static_cast<std::size_t>(r) * n + q] = covariance[(feature.first_input + r) * inputs + others[q]];
    kernels::cpu::solve_positive_definite(static_cast<std::int64_t>(n), feature.input_count, matrix.data(),
                                          right.data());
    for (int r = 0; r < feature.input_count; ++r) {
      put(feature.first_input + r, feature.first_input + r, 1.0);
      for (std::size_t q = 0; q < n; ++q)
        put(feature.first_input + r, others[q], -right[static_cast<std::size_t>(r) * n + q]);
    }
  }
}

}  // namespace

EditorData make_editor_data(const Dataset& dataset, const std::vector<std::string>& attributes, Arena& arena,
                            DType dtype, Stream stream) {
  const auto features = static_cast<std::int64_t>(dataset.features.size());
  const Arena::Staged input_feature = arena.stage({dataset.inputs}, DType::int32),
                      feature_offset = arena.stage({features + 1}, DType::int32),
                      covariance = arena.stage({dataset.inputs, dataset.inputs}, DType::float64),
                      unique = arena.stage({dataset.inputs, dataset.inputs}, dtype),
                      statistics = arena.stage({dataset.inputs, kInputStatistics}, dtype);
  const Staging::Bytes statistic_rows = arena.stage(2 * sizeof(std::int64_t));
  std::int32_t* offset = feature_offset.host.as<std::int32_t>();
  std::int32_t column = 0;
  for (std::size_t f = 0; f < dataset.features.size(); ++f) {
    const Feature& feature = dataset.features[f];
    check(feature.first_input == column, "editor_data", "inputs of feature `", feature.name, "` are not in order");
    offset[f] = column;
    for (int k = 0; k < feature.input_count; ++k)
      input_feature.host.as<std::int32_t>()[column++] = static_cast<std::int32_t>(f);
  }
  check(column == dataset.inputs, "editor_data", "features cover ", column, " of ", dataset.inputs, " inputs");
  offset[dataset.features.size()] = column;
  for (const Arena::Staged* staged : {&covariance, &unique}) zero(staged->host, Stream());
  fill_covariance(dataset.editor_train, dataset.inputs, covariance.host.as<double>());
  fill_unique(dataset, covariance.host.as<double>(), unique.host);
  fill_statistics(dataset, attributes, statistics.host);
  auto* const offset_of_rows = static_cast<std::int64_t*>(statistic_rows.host);
  offset_of_rows[0] = 0;
  offset_of_rows[1] = dataset.inputs;
  arena.upload(stream);
  return {.input_feature = input_feature.device,
          .feature_offset = feature_offset.device,
          .covariance = covariance.device,
          .unique = unique.device,
          .statistics = statistics.device,
          .statistic_rows = {static_cast<const std::int64_t*>(statistic_rows.device), 1}};
}

void expect_fitting(std::span<const SubjectNetwork* const> networks, std::int64_t inputs, std::int64_t outputs) {
  for (const SubjectNetwork* network : networks)
    if (network->widths.front() != inputs || network->widths.back() != outputs)
      fail_input("network `" + network->name + "`", "expected ", inputs, " inputs and ", outputs, " outputs, got ",
                 network->widths.front(), " and ", network->widths.back());
}

EditorInputs make_inputs(const GraphBatch& graph, const Editor& editor, const EditorData& data, Arena& arena) {
  const EditorShape& shape = editor.shape();
  EditorInputs inputs;
  inputs.table = &graph.device_table();
  inputs.input_feature = data.input_feature;
  inputs.feature_offset = data.feature_offset;
  inputs.covariance = data.covariance;
  const Arena::Staged entry = arena.stage({graph.table().node_count}, DType::int32);
  node_entries(graph.table(), shape.input_embedding, entry.host.as<std::int32_t>());
  inputs.node_entry = entry.device;
  if (!shape.input_embedding) {
    const Arena::Staged column = arena.stage({graph.table().node_count}, DType::int32);
    input_columns(graph.table(), column.host.as<std::int32_t>());
    inputs.input_column = column.device;
    inputs.statistics = data.statistics;
    inputs.statistic_rows = data.statistic_rows;
  }
  const auto count = static_cast<std::size_t>(graph.networks());
  const Staging::Bytes offset = arena.stage((count + 1) * sizeof(std::int64_t));
  for (std::size_t n = 0; n <= count; ++n)
    static_cast<std::int64_t*>(offset.host)[n] = static_cast<std::int64_t>(n) * inputs.features();
  inputs.feature_rows = {static_cast<const std::int64_t*>(offset.device), graph.networks()};
  return inputs;
}

EditorInputs make_inputs(const GraphBatch& graph, std::span<const SubjectNetwork* const> networks, const Editor& editor,
                         const EditorData& data, Arena& arena) {
  EditorInputs inputs = make_inputs(graph, editor, data, arena);
  const Arena::Staged weight = arena.stage({graph.table().edge_count}, editor.dtype()),
                      bias = arena.stage({graph.table().node_count}, editor.dtype());
  graph.gather(networks, weight.host, bias.host);
  inputs.weight = weight.device;
  inputs.bias = bias.device;
  return inputs;
}

void encode_condition(EditorInputs& inputs, std::span<const double> lambda, std::span<const LambdaRange> ranges,
                      Arena& arena, DType dtype) {
  const std::int64_t networks = inputs.table->network_count, requirements = static_cast<std::int64_t>(ranges.size());
  check(static_cast<std::int64_t>(lambda.size()) == networks * requirements, "encode_condition", "expected ",
        networks * requirements, " weights, got ", lambda.size());
  const Arena::Staged raw = arena.stage({networks, requirements}, dtype),
                      condition = arena.stage({networks, 2 * requirements}, dtype);
  const auto put = [dtype](const TensorView& view, std::int64_t index, double value) {
    if (dtype == DType::float64)
      view.as<double>()[index] = value;
    else
      view.as<float>()[index] = static_cast<float>(value);
  };
  constexpr double kLargestFloat = std::numeric_limits<float>::max();
  for (std::int64_t i = 0; i < networks * requirements; ++i) {
    const LambdaRange& range = ranges[static_cast<std::size_t>(i % requirements)];
    const double value = lambda[static_cast<std::size_t>(i)];
    const double low = std::log(range.low), high = std::log(range.high);
    // Beyond the range the editor has seen nothing to go by: it reads the nearest end.
    const double place = value > 0.0 && high > low ? 1.5 * (2.0 * std::log(value) - (low + high)) / (high - low) : 0.0;
    put(raw.host, i, dtype == DType::float32 ? std::min(value, kLargestFloat) : value);
    put(condition.host, 2 * i, std::clamp(place, -1.5, 1.5));
    put(condition.host, 2 * i + 1, value > 0.0 ? 1.0 : 0.0);
  }
  inputs.lambda = raw.device;
  inputs.condition = condition.device;
}

bool reads_feature(const SubjectNetwork& network, const Feature& feature) {
  const int inputs = network.widths[0], rows = network.widths[1];
  for (int i = 0; i < rows; ++i)
    for (int k = 0; k < feature.input_count; ++k)
      if (network.weights[static_cast<std::size_t>(i * inputs + feature.first_input + k)] != 0.0f) return true;
  return false;
}

void stage_limits(EditorInputs& inputs, std::span<const SubjectNetwork* const> networks, std::span<const double> budget,
                  const Editor& editor, const std::vector<Feature>& features, Arena& arena) {
  const std::size_t requirements = editor.requirements().size(), count = networks.size();
  const auto stage = [&](GateLimit& limit, std::size_t r, auto gates_of) {
    bool any = false;
    for (std::size_t n = 0; n < count; ++n) any |= budget[n * requirements + r] >= 0.0;
    if (!any) return;
    const Arena::Staged staged = arena.stage({static_cast<std::int64_t>(count)}, DType::int32);
    for (std::size_t n = 0; n < count; ++n) {
      const double asked = budget[n * requirements + r];
      staged.host.as<std::int32_t>()[n] =
          asked < 0.0 ? -1 : static_cast<std::int32_t>(std::min(asked * gates_of(*networks[n]) + 1e-9, 2e9));
    }
    limit.budget = staged.device;
  };
  for (std::size_t r = 0; r < requirements; ++r) {
    const EditGates gates = editor.requirements()[r]->gates();
    if (gates.weights) {
      stage(inputs.weight_limit, r, [](const SubjectNetwork& n) { return static_cast<double>(n.weights.size()); });
      inputs.weight_limit.counted = inputs.weight;
    }
    if (gates.neurons)
      stage(inputs.neuron_limit, r, [](const SubjectNetwork& n) {
        double hidden = 0.0;
        for (std::size_t layer = 1; layer + 1 < n.widths.size(); ++layer) hidden += n.widths[layer];
        return hidden;
      });
    if (gates.features) stage(inputs.feature_limit, r, [](const SubjectNetwork&) { return 1.0; });
  }
  if (!inputs.feature_limit.budget) return;
  const Arena::Staged used = arena.stage({static_cast<std::int64_t>(count * features.size())}, editor.dtype());
  for (std::size_t n = 0; n < count; ++n)
    for (std::size_t f = 0; f < features.size(); ++f) {
      const bool reads = reads_feature(*networks[n], features[f]);
      const std::size_t at = n * features.size() + f;
      if (editor.dtype() == DType::float64)
        used.host.as<double>()[at] = reads ? 1.0 : 0.0;
      else
        used.host.as<float>()[at] = reads ? 1.0f : 0.0f;
    }
  inputs.feature_limit.counted = used.device;
}

TensorView original_logits(Tape& tape, const EditorInputs& inputs, const RowBatch& rows) {
  return op::subject_forward(tape, *inputs.table, tape.constant(inputs.weight), tape.constant(inputs.bias), rows.x, {},
                             false, rows.x_id)
      .logits.value();
}

}  // namespace amend
