#include "requirements/baseline/network_probe.hpp"

#include <algorithm>

#include "engine/tensor.hpp"
#include "kernels/probe.hpp"
#include "kernels/subject_forward.hpp"
#include "metanet/graph/graph_batch.hpp"

namespace amend {
namespace {

constexpr std::int64_t kChunkElements = std::int64_t{1} << 23;  // activations of a chunk: 32 MiB, and slopes as much

/// Columns where each feature begins, and where the last ends.
std::vector<std::int32_t> feature_offsets(std::span<const Feature> features, std::int64_t inputs) {
  std::vector<std::int32_t> offset{0};
  for (const Feature& feature : features) {
    check(feature.first_input == offset.back(), "probe_networks", "feature `", feature.name, "` begins at input ",
          feature.first_input, ", expected ", offset.back());
    offset.push_back(feature.first_input + feature.input_count);
  }
  check(offset.back() == inputs, "probe_networks", "features cover ", offset.back(), " of ", inputs, " inputs");
  return offset;
}

std::vector<float> part(const Tensor& tensor, std::int64_t first, std::int64_t count) {
  const float* begin = tensor.as<float>() + first;
  return {begin, begin + count};
}

/// Probes the networks of one chunk. x (rows, inputs); feature_offset may be absent.
void probe_chunk(std::span<const SubjectNetwork* const> networks, const TensorView& x, const TensorView& feature_offset,
                 bool with_fisher, std::vector<NetworkProbe>& probes) {
  const GraphBatch batch(networks);
  const kernels::BlockTable& table = batch.table();
  const std::int64_t rows = x.extent(0), features = feature_offset ? feature_offset.count() - 1 : 0;
  Tensor weight({table.edge_count}, DType::float32), bias({table.node_count}, DType::float32);
  batch.gather(networks, weight, bias);
  Tensor activation({table.hidden_count, rows}, DType::float32), slope({table.hidden_count, rows}, DType::float32);
  Tensor logits({table.network_count, rows, batch.outputs()}, DType::float32);
  kernels::subject_forward({.table = table,
                            .weight = weight,
                            .bias = bias,
                            .x = x,
                            .activation = activation,
                            .slope = slope,
                            .logits = logits},
                           Stream());
  Tensor mean({table.node_count}, DType::float32), rms({table.node_count}, DType::float32), fisher, saliency;
  if (with_fisher) fisher = Tensor({table.edge_count}, DType::float32);
  if (features > 0) saliency = Tensor({table.network_count, features}, DType::float32);
  kernels::probe({.table = table,
                  .weight = weight,
                  .x = x,
                  .activation = activation,
                  .slope = slope,
                  .logits = logits,
                  .statistic_rows = rows,
                  .fisher = fisher,
                  .node_mean = mean,
                  .node_rms = rms,
                  .feature_offset = feature_offset,
                  .feature_saliency = saliency},
                 Stream());
  for (std::int32_t n = 0; n < table.network_count; ++n) {
    const kernels::Network& network = table.network[n];
    NetworkProbe& probe = probes.emplace_back();
    if (with_fisher) probe.fisher = part(fisher, network.edge_offset, network.edge_count);
    probe.node_mean = part(mean, network.node_offset, network.node_count);
    probe.node_rms = part(rms, network.node_offset, network.node_count);
    if (features > 0) probe.feature_saliency = part(saliency, n * features, features);
  }
}

}  // namespace

std::vector<float> spread_rows(const Rows& rows, int inputs, std::int64_t limit) {
  const std::int64_t count = std::min(rows.count, limit);
  std::vector<float> result;
  result.reserve(static_cast<std::size_t>(count * inputs));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto begin = rows.input.begin() + (i * rows.count / count) * inputs;
    result.insert(result.end(), begin, begin + inputs);
  }
  return result;
}

std::vector<std::int32_t> spread_labels(const Rows& rows, std::int64_t limit) {
  const std::int64_t count = std::min(rows.count, limit);
  std::vector<std::int32_t> result;
  for (std::int64_t i = 0; i < count; ++i)
    result.push_back(rows.label[static_cast<std::size_t>(i * rows.count / count)]);
  return result;
}

std::vector<NetworkProbe> probe_networks(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                                         std::span<const Feature> features, bool with_fisher) {
  std::vector<NetworkProbe> probes;
  if (networks.empty()) return probes;
  const std::int64_t inputs = networks.front()->widths.front();
  const std::int64_t rows = static_cast<std::int64_t>(input.size()) / inputs;
  check(rows > 0 && rows * inputs == static_cast<std::int64_t>(input.size()), "probe_networks", "got ", input.size(),
        " numbers for ", inputs, " inputs");
  std::vector<std::int32_t> offset;
  TensorView feature_offset;
  if (!features.empty()) {
    offset = feature_offsets(features, inputs);
    feature_offset = {offset.data(), {static_cast<std::int64_t>(offset.size())}, DType::int32, Device::cpu()};
  }
  // Kernels take mutable views of everything; these only read x.
  const TensorView x{const_cast<float*>(input.data()), {rows, inputs}, DType::float32, Device::cpu()};
  for (std::size_t first = 0; first < networks.size();) {
    std::size_t end = first;
    std::int64_t elements = 0;
    do {
      elements += networks[end++]->bias_count() * rows;
    } while (end < networks.size() && elements < kChunkElements);
    probe_chunk(networks.subspan(first, end - first), x, feature_offset, with_fisher, probes);
    first = end;
  }
  return probes;
}

void fold_mean(const SubjectNetwork& original, std::span<const float> node_mean, SubjectNetwork& edited) {
  check(original.widths == edited.widths, "fold_mean", "networks `", original.name, "` and `", edited.name,
        "` differ in shape");
  check(static_cast<std::int64_t>(node_mean.size()) == original.widths.front() + original.bias_count(), "fold_mean",
        "got ", node_mean.size(), " means for ", original.widths.front() + original.bias_count(), " neurons");
  const float *before = original.weights.data(), *after = edited.weights.data(), *bias = original.biases.data();
  const float* mean = node_mean.data();
  float* folded = edited.biases.data();
  for (int layer = 0; layer < original.layers(); ++layer) {
    const int cols = original.widths[static_cast<std::size_t>(layer)];
    const int rows = original.widths[static_cast<std::size_t>(layer) + 1];
    for (int i = 0; i < rows; ++i, before += cols, after += cols) {
      double shift = 0.0;
      for (int j = 0; j < cols; ++j) shift += (static_cast<double>(before[j]) - after[j]) * mean[j];
      *folded++ = static_cast<float>(*bias++ + shift);
    }
    mean += cols;
  }
}

}  // namespace amend
