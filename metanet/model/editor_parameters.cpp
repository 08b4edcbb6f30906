// Which parameters an editor has and how they start.
#include <cmath>

#include "engine/random.hpp"
#include "kernels/edit_features.hpp"
#include "kernels/network_features.hpp"
#include "metanet/model/editor.hpp"

namespace amend {

using kernels::kBlockKinds;

Editor::Editor(EditorShape shape, EditorGates gates, Requirements requirements, DType dtype, Device device,
               std::uint64_t seed)
    : shape_(std::move(shape)), gate_options_(gates), requirements_(std::move(requirements)) {
  check(shape_.messages >= 0 && shape_.messages <= 6, "editor", "expected 0 to 6 message layers, got ",
        shape_.messages);
  check(shape_.passes >= 1 && shape_.passes <= 3, "editor", "expected 1 to 3 passes, got ", shape_.passes);
  check(shape_.node_width > 0 && shape_.edge_width > 0 && shape_.refine_width > 0, "editor", "expected widths above 0");
  check(!requirements_.empty() && requirements_.size() == shape_.requirements.size(), "editor",
        "expected the requirements that the shape names");
  for (const auto& requirement : requirements_) {
    gates_ = gates_ | requirement->gates();
    reads_groups_ |= requirement->reads_groups();
  }
  check(shape_.edits != Edits::residual || !(gates_.weights || gates_.neurons || gates_.features), "editor",
        "expected requirements without gates for an editor of residuals alone");
  objectives_ = reads_groups_ ? 2 : 1;
  declare();
  if (shape_.passes > 1) declare_refinement();
  parameters_.allocate(dtype, device, seed);
  if (shape_.passes > 1) {
    // Gains on the proposed Newton steps start at .1: where the first refinement is already a useful move.
    parameters_.edit([&](const TensorView& values) {
      const auto start_gains = [&](int index, std::int64_t outputs) {
        const TensorView bias = parameters_.view_of(values, index);
        for (std::int64_t i = 0; i < bias.count(); ++i)
          if (i % outputs >= 2) {
            if (dtype == DType::float64)
              bias.as<double>()[i] = 0.1;
            else
              bias.as<float>()[i] = 0.1f;
          }
      };
      start_gains(refine_out_bias_, 2 + objectives_);
      start_gains(refine_node_head_.out.bias, 2 + objectives_);
    });
  }
}

Editor::LinearIndex Editor::add_linear(const std::string& name, int in, int out, double gain, bool zero_weight) {
  // The variance of a uniform distribution on +-1 / sqrt(in), PyTorch's default.
  const double deviation = zero_weight ? 0.0 : gain / std::sqrt(3.0 * in);
  return {parameters_.add(name + ".weight", {out, in}, {0.0, deviation}, true),
          parameters_.add(name + ".bias", {out}, {0.0, deviation}, false)};
}

Editor::HeadIndex Editor::add_head(const std::string& name, int in, int hidden, int outputs) {
  return {add_linear(name + ".node", in, hidden, 1.0), add_linear(name + ".condition", shape_.node_width, hidden, 1.0),
          add_linear(name + ".out", hidden, outputs, 1.0, true)};
}

void Editor::declare() {
  const int h = shape_.node_width, d = shape_.edge_width;
  const int edge_in = shape_.messages > 0 ? d : static_cast<int>(kernels::kEdgeFeatures);
  const auto requirements = static_cast<int>(requirements_.size());
  condition1_ = add_linear("condition.0", 2 * requirements, h, 1.0);
  condition2_ = add_linear("condition.1", h, h, 1.0);
  node_embed_ = add_linear("node_embed", kernels::kNodeFeatures, h, 1.0);
  const int entries = shape_.input_embedding ? shape_.inputs + shape_.outputs + 1 : kernels::kNodeKinds;
  entry_embed_ = parameters_.add("node_entry", {entries, h}, {0.0, 0.3}, true);
  if (!shape_.input_embedding && shape_.probe_features)  // no bias: node_entry has a vector for all inputs
    statistics_embed_ = parameters_.add(kStatisticsParameter, {h, kInputStatistics},
                                        {0.0, 1.0 / std::sqrt(3.0 * kInputStatistics)}, true);
  if (shape_.messages > 0) edge_embed_ = add_linear("edge_embed", kernels::kEdgeFeatures, d, 1.0);
  for (int k = 0; k < shape_.messages; ++k) {
    const std::string name = "message." + std::to_string(k);
    MessageIndex m{};
    m.projection = add_linear(name + ".projection", h, 4 * d, 1.0);
    m.modulation = add_linear(name + ".modulation", h, 3 * d, 1.0, true);
    m.alpha = add_linear(name + ".alpha", h, h, 1.0, true);
    m.first = add_linear(name + ".node.0", h + 2 * d + h, 2 * h, 1.0);
    m.second = add_linear(name + ".node.1", 2 * h, h, 1.0);
    m.weight_c = parameters_.add(name + ".edge.c", {d, d}, {0.0, 1.0 / std::sqrt(3.0 * d)}, true);
    m.weight_g = parameters_.add(name + ".edge.g", {d, d}, {0.0, 1.0 / std::sqrt(3.0 * d)}, true);
    message_.push_back(m);
  }
  edge_projection_ = add_linear("edge_head.node", h, 2 * h, 1.0);
  edge_projection_condition_ = add_linear("edge_head.condition", h, 2 * h, 1.0);
  edge_weight_ = parameters_.add("edge_head.edge", {h, edge_in}, {0.0, 1.0 / std::sqrt(3.0 * edge_in)}, true);
  edge_kind_bias_ = parameters_.add("edge_head.kind", {kBlockKinds, h}, {0.0, 0.1}, false);
  edge_out_ = parameters_.add("edge_head.out.weight", {kBlockKinds, 2, h}, {}, true);
  edge_out_bias_ = parameters_.add("edge_head.out.bias", {kBlockKinds, 2}, {}, false);
  node_head_ = add_head("node_head", h, h, 2);
  if (gates_.weights) edge_prior_gain_ = parameters_.add("edge_head.prior_gain", {1}, {0.5, 0.0}, false);
  if (gates_.neurons) neuron_prior_gain_ = parameters_.add("node_head.prior_gain", {1}, {0.5, 0.0}, false);
  if (gates_.features) {
    feature_head_ = add_head("feature_head", h, h, 2);
    feature_input_ = add_linear("feature_head.input", kernels::kFeatureGateFeatures, h, 1.0);
    feature_prior_gain_ = parameters_.add("feature_head.prior_gain", {1}, {0.5, 0.0}, false);
  }
}

void Editor::declare_refinement() {
  const int h = shape_.node_width, w = shape_.refine_width, outputs = 2 + objectives_;
  const int edge_in = shape_.messages > 0 ? shape_.edge_width : static_cast<int>(kernels::kEdgeFeatures);
  const int edge_features = static_cast<int>(kernels::refine_edge_features(objectives_));
  const int node_features = static_cast<int>(kernels::refine_node_features(objectives_));
  const auto network_features =
      static_cast<int>(kernels::network_feature_count(static_cast<int>(requirements_.size())));
  refine_network_ = add_linear("refine.network", network_features, h, 1.0);
  refine_projection_ = add_linear("refine.node", h, 2 * w, 1.0);
  refine_node_features_ = add_linear("refine.node_features", node_features, 2 * w, 1.0);
  refine_condition_ = add_linear("refine.condition", h, 2 * w, 1.0);
  refine_edge_ = parameters_.add("refine.edge", {w, edge_in}, {0.0, 1.0 / std::sqrt(3.0 * edge_in)}, true);
  refine_feature_ =
      parameters_.add("refine.edge_features", {w, edge_features}, {0.0, 1.0 / std::sqrt(3.0 * edge_features)}, true);
  refine_kind_bias_ = parameters_.add("refine.kind", {kBlockKinds, w}, {0.0, 0.1}, false);
  refine_mix_ = parameters_.add("refine.mix", {w, w}, {0.0, 1.0 / std::sqrt(3.0 * w)}, true);
  refine_out_ = parameters_.add("refine.out.weight", {kBlockKinds, outputs, w}, {}, true);
  refine_out_bias_ = parameters_.add("refine.out.bias", {kBlockKinds, outputs}, {}, false);
  refine_node_head_ = add_head("refine.node_head", h, w, outputs);
  refine_node_head_features_ = add_linear("refine.node_head.features", node_features, w, 1.0);
  if (gates_.features) {
    refine_feature_head_ = add_head("refine.feature_head", h, h, 2);
    refine_feature_input_ = add_linear("refine.feature_head.input", kernels::kFeatureGateFeatures, h, 1.0);
    refine_feature_prior_gain_ = parameters_.add("refine.feature_head.prior_gain", {1}, {0.5, 0.0}, false);
  }
}

void Editor::randomise(std::uint64_t seed, double deviation) {
  const RandomStream random(seed, 0xED17);
  parameters_.edit([&](const TensorView& value) {
    for (std::int64_t i = 0; i < value.count(); ++i) {
      const double noise = deviation * static_cast<double>(random.normal(static_cast<std::uint64_t>(i)));
      if (value.dtype == DType::float64)
        value.as<double>()[i] += noise;
      else
        value.as<float>()[i] += static_cast<float>(noise);
    }
  });
}

void node_entries(const kernels::BlockTable& table, bool input_embedding, std::int32_t* index) {
  for (std::int32_t n = 0; n < table.network_count; ++n) {
    const kernels::Network& network = table.network[n];
    const std::int32_t first_output = network.node_count - network.outputs;
    for (std::int32_t k = 0; k < network.node_count; ++k) {
      std::int32_t entry = 0;
      if (input_embedding)
        entry = k < network.inputs ? k
                : k < first_output ? network.inputs + network.outputs
                                   : network.inputs + (k - first_output);
      else
        entry = k < network.inputs ? 0 : k < first_output ? 1 : 2;
      index[network.node_offset + k] = entry;
    }
  }
}

void input_columns(const kernels::BlockTable& table, std::int32_t* column) {
  for (std::int32_t n = 0; n < table.network_count; ++n) {
    const kernels::Network& network = table.network[n];
    for (std::int32_t k = 0; k < network.node_count; ++k) column[network.node_offset + k] = k < network.inputs ? k : -1;
  }
}

}  // namespace amend
