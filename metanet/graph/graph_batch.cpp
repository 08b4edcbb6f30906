#include "metanet/graph/graph_batch.hpp"

#include <algorithm>
#include <cstring>

namespace amend {

void GraphBatch::assign(std::span<const SubjectNetwork* const> networks) {
  using kernels::BlockKind;
  block_.clear();
  network_.clear();
  for (auto* offsets : {&network_edges_, &network_nodes_, &network_hidden_, &networks_, &block_edges_})
    offsets->assign(1, 0);
  table_ = device_table_ = {};
  std::int64_t edge = 0, node = 0, hidden = 0;
  for (const SubjectNetwork* subject : networks) {
    const auto& widths = subject->widths;
    check(widths.size() >= 2, "graph_batch", "network `", subject->name, "` has ", widths.size(), " layers of neurons");
    check(widths.front() == networks.front()->widths.front() && widths.back() == networks.front()->widths.back(),
          "graph_batch", "networks of one batch must agree in inputs and outputs: `", subject->name, "` has ",
          widths.front(), " and ", widths.back());
    const auto index = static_cast<std::int32_t>(network_.size());
    kernels::Network row{};
    row.node_offset = node;
    row.edge_offset = edge;
    row.hidden_offset = hidden;
    row.first_block = static_cast<std::int32_t>(block_.size());
    row.block_count = subject->layers();
    row.inputs = widths.front();
    row.outputs = widths.back();
    row.activation = static_cast<std::int32_t>(subject->activation);
    std::int64_t source = node;
    for (int layer = 0; layer < subject->layers(); ++layer) {
      const int cols = widths[static_cast<std::size_t>(layer)], rows = widths[static_cast<std::size_t>(layer) + 1];
      const BlockKind kind = layer + 1 == subject->layers() ? BlockKind::last
                             : layer == 0                   ? BlockKind::first
                                                            : BlockKind::hidden;
      block_.push_back({edge, source, source + cols, rows, cols, kind, index});
      edge += std::int64_t{rows} * cols;
      source += cols;
      block_edges_.push_back(edge);
    }
    node = source + widths.back();
    row.node_count = static_cast<std::int32_t>(node - row.node_offset);
    row.edge_count = static_cast<std::int32_t>(edge - row.edge_offset);
    row.hidden_count = row.node_count - row.inputs - row.outputs;
    hidden += row.hidden_count;
    network_.push_back(row);
    network_edges_.push_back(edge);
    network_nodes_.push_back(node);
    network_hidden_.push_back(hidden);
    networks_.push_back(index + 1);
    table_.max_blocks = std::max(table_.max_blocks, row.block_count);
    table_.max_nodes = std::max(table_.max_nodes, row.node_count);
    table_.max_edges = std::max(table_.max_edges, row.edge_count);
  }
  table_.block = block_.data();
  table_.network = network_.data();
  table_.block_count = static_cast<std::int32_t>(block_.size());
  table_.network_count = static_cast<std::int32_t>(network_.size());
  table_.outputs = outputs();
  table_.edge_count = edge;
  table_.node_count = node;
  table_.hidden_count = hidden;
  table_.network_edges = {network_edges_.data(), table_.network_count};
  table_.network_nodes = {network_nodes_.data(), table_.network_count};
  table_.network_hidden = {network_hidden_.data(), table_.network_count};
  table_.networks = {networks_.data(), table_.network_count};
  table_.block_edges = {block_edges_.data(), table_.block_count};
  device_table_ = table_;
}

void GraphBatch::stage(Arena& arena) {
  if (!arena.device().is_cuda()) return;
  const auto put = [&arena](const auto& values) {
    using Element = typename std::decay_t<decltype(values)>::value_type;
    const std::size_t bytes = values.size() * sizeof(Element);
    const Staging::Bytes memory = arena.stage(bytes);
    if (bytes > 0) std::memcpy(memory.host, values.data(), bytes);
    return static_cast<const Element*>(memory.device);
  };
  device_table_.block = put(block_);
  device_table_.network = put(network_);
  device_table_.network_edges.offset = put(network_edges_);
  device_table_.network_nodes.offset = put(network_nodes_);
  device_table_.network_hidden.offset = put(network_hidden_);
  device_table_.networks.offset = put(networks_);
  device_table_.block_edges.offset = put(block_edges_);
}

std::vector<std::int64_t> GraphBatch::launch_key() const {
  return {table_.block_count, table_.network_count, table_.edge_count, table_.node_count, table_.hidden_count,
          table_.max_nodes,   table_.max_edges,     table_.max_blocks, table_.outputs};
}

namespace {

/// Calls `body` with a typed pointer to the first element.
template <class Body>
void with_float(const TensorView& view, const Body& body) {
  if (view.dtype == DType::float64)
    body(view.as<double>());
  else
    body(view.as<float>());
}

}  // namespace

void GraphBatch::gather(std::span<const SubjectNetwork* const> networks, const TensorView& weight,
                        const TensorView& bias) const {
  check(static_cast<int>(networks.size()) == table_.network_count, "graph_batch", "expected ", table_.network_count,
        " networks, got ", networks.size());
  check(weight.count() == table_.edge_count && bias.count() == table_.node_count, "graph_batch", "expected room for ",
        table_.edge_count, " weights and ", table_.node_count, " nodes");
  for (std::size_t n = 0; n < networks.size(); ++n) {
    const kernels::Network& row = network_[n];
    const SubjectNetwork& subject = *networks[n];
    check(static_cast<std::int64_t>(subject.weights.size()) == row.edge_count, "graph_batch", "network `", subject.name,
          "` has ", subject.weights.size(), " weights, expected ", row.edge_count);
    with_float(weight,
               [&](auto* out) { std::copy(subject.weights.begin(), subject.weights.end(), out + row.edge_offset); });
    with_float(bias, [&](auto* out) {
      std::fill_n(out + row.node_offset, row.inputs, 0);
      std::copy(subject.biases.begin(), subject.biases.end(), out + row.node_offset + row.inputs);
    });
  }
}

void GraphBatch::scatter(int index, const TensorView& weight, const TensorView& bias, SubjectNetwork& network) const {
  const kernels::Network& row = network_[static_cast<std::size_t>(index)];
  network.weights.resize(static_cast<std::size_t>(row.edge_count));
  network.biases.resize(static_cast<std::size_t>(row.node_count - row.inputs));
  with_float(weight, [&](const auto* in) {
    std::transform(in + row.edge_offset, in + row.edge_offset + row.edge_count, network.weights.begin(),
                   [](auto value) { return static_cast<float>(value); });
  });
  with_float(bias, [&](const auto* in) {
    std::transform(in + row.node_offset + row.inputs, in + row.node_offset + row.node_count, network.biases.begin(),
                   [](auto value) { return static_cast<float>(value); });
  });
}

}  // namespace amend
