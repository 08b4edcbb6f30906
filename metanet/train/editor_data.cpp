#include "metanet/train/editor_data.hpp"

#include <cmath>

#include "autograd/op/subject_forward.hpp"

namespace amend {

EditorData make_editor_data(const Dataset& dataset, Arena& arena) {
  EditorData data;
  data.input_feature = arena.tensor({dataset.inputs}, DType::int32);
  data.feature_offset = arena.tensor({static_cast<std::int64_t>(dataset.features.size()) + 1}, DType::int32);
  std::int32_t* offset = data.feature_offset.as<std::int32_t>();
  std::int32_t column = 0;
  for (std::size_t f = 0; f < dataset.features.size(); ++f) {
    const Feature& feature = dataset.features[f];
    check(feature.first_input == column, "editor_data", "inputs of feature `", feature.name, "` are not in order");
    offset[f] = column;
    for (int k = 0; k < feature.input_count; ++k)
      data.input_feature.as<std::int32_t>()[column++] = static_cast<std::int32_t>(f);
  }
  check(column == dataset.inputs, "editor_data", "features cover ", column, " of ", dataset.inputs, " inputs");
  offset[dataset.features.size()] = column;
  return data;
}

EditorInputs make_inputs(const GraphBatch& graph, std::span<const SubjectNetwork* const> networks, const Editor& editor,
                         const EditorData& data, Arena& arena) {
  const EditorShape& shape = editor.shape();
  for (const SubjectNetwork* network : networks)
    if (network->widths.front() != shape.inputs || network->widths.back() != shape.outputs)
      fail_input("network `" + network->name + "`", "expected ", shape.inputs, " inputs and ", shape.outputs,
                 " outputs, got ", network->widths.front(), " and ", network->widths.back());
  const kernels::BlockTable& table = graph.table();
  EditorInputs inputs;
  inputs.table = &table;
  inputs.weight = arena.tensor({table.edge_count}, editor.dtype());
  inputs.bias = arena.tensor({table.node_count}, editor.dtype());
  graph.gather(networks, inputs.weight, inputs.bias);
  inputs.input_feature = data.input_feature;
  inputs.feature_offset = data.feature_offset;
  inputs.node_entry = arena.tensor({table.node_count}, DType::int32);
  node_entries(table, shape.input_embedding, inputs.node_entry.as<std::int32_t>());
  const auto count = static_cast<std::size_t>(table.network_count);
  auto* offset = static_cast<std::int64_t*>(arena.allocate((count + 1) * sizeof(std::int64_t)));
  for (std::size_t n = 0; n <= count; ++n) offset[n] = static_cast<std::int64_t>(n) * shape.features;
  inputs.feature_rows = {offset, table.network_count};
  return inputs;
}

void encode_condition(EditorInputs& inputs, std::span<const double> lambda, std::span<const LambdaRange> ranges, Arena& arena,
                      DType dtype) {
  const std::int64_t networks = inputs.table->network_count, requirements = static_cast<std::int64_t>(ranges.size());
  check(static_cast<std::int64_t>(lambda.size()) == networks * requirements, "encode_condition", "expected ",
        networks * requirements, " weights, got ", lambda.size());
  inputs.lambda = arena.tensor({networks, requirements}, dtype);
  inputs.condition = arena.tensor({networks, 2 * requirements}, dtype);
  const auto put = [dtype](const TensorView& view, std::int64_t index, double value) {
    if (dtype == DType::float64)
      view.as<double>()[index] = value;
    else
      view.as<float>()[index] = static_cast<float>(value);
  };
  for (std::int64_t i = 0; i < networks * requirements; ++i) {
    const LambdaRange& range = ranges[static_cast<std::size_t>(i % requirements)];
    const double value = lambda[static_cast<std::size_t>(i)];
    const double middle = 0.5 * std::log(range.low * range.high), half = 0.5 * std::log(range.high / range.low);
    put(inputs.lambda, i, value);
    put(inputs.condition, 2 * i, value > 0.0 ? 1.5 * (std::log(value) - middle) / half : 0.0);
    put(inputs.condition, 2 * i + 1, value > 0.0 ? 1.0 : 0.0);
  }
}

TensorView original_logits(Tape& tape, const EditorInputs& inputs, const RowBatch& rows) {
  return op::subject_forward(tape, *inputs.table, tape.constant(inputs.weight), tape.constant(inputs.bias), rows.x).logits.value();
}

}  // namespace amend
