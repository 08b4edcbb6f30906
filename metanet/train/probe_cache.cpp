#include "metanet/train/probe_cache.hpp"

#include "engine/copy.hpp"
#include "kernels/fill.hpp"
#include "kernels/gather.hpp"

namespace amend {

namespace {

/// Plane `index` of a tensor (planes, n), from `first` on.
TensorView part(const TensorView& planes, std::int64_t index, std::int64_t first, std::int64_t count) {
  return slice_rows(reshape(slice_rows(planes, index, 1), {planes.extent(1)}), first, count);
}

TensorView plane(const TensorView& planes, std::int64_t index) { return part(planes, index, 0, planes.extent(1)); }

}  // namespace

ProbeCache::ProbeCache(const Editor& editor, const EditorData& data, std::vector<const SubjectNetwork*> networks,
                       RowBatch rows, Stream stream)
    : networks_(std::move(networks)), gradients_(editor.reads_groups()) {
  constexpr std::size_t kBatch = 32;
  check(editor.dtype() == DType::float32, "probe_cache", "training runs in float32");
  expect_fitting(networks_, data.input_feature.extent(0), editor.shape().outputs);
  edge_ = node_ = {0};
  for (const SubjectNetwork* network : networks_) {
    edge_.push_back(edge_.back() + network->weight_count());
    node_.push_back(node_.back() + network->widths.front() + network->bias_count());
  }
  const Device device = stream.device();
  edges_ = Tensor({gradients_ ? 3 : 2, edge_.back()}, DType::float32, device);
  nodes_ = Tensor({gradients_ ? 6 : 5, node_.back()}, DType::float32, device);
  if (editor.gates().features) {
    features_ = data.feature_offset.extent(0) - 1;
    saliencies_ = Tensor({2, static_cast<std::int64_t>(networks_.size()) * features_}, DType::float32, device);
  }

  Arena arena(device), fixed(device);
  Tape tape(arena, stream), inner(arena, stream);
  if (features_ > 0) add_deviations(rows, data.unique, fixed, stream);
  tape.set_recording(false);
  for (std::size_t first = 0; first < networks_.size(); first += kBatch) {
    const std::span<const SubjectNetwork* const> batch(networks_.data() + first,
                                                       std::min(kBatch, networks_.size() - first));
    tape.reset();
    GraphBatch graph(batch);
    graph.stage(arena);
    const EditorInputs inputs = make_inputs(graph, batch, editor, data, arena);
    arena.upload(stream);
    ProbeOptions options{.rows = &rows,
                         .feature_offset = features_ > 0 ? data.feature_offset : TensorView{},
                         .requirements = &editor.requirements()};
    if (gradients_) {
      options.lambda =
          arena.tensor({graph.networks(), static_cast<std::int64_t>(editor.requirements().size())}, DType::float32);
      kernels::fill({.y = options.lambda, .value = 1.0}, stream);
    }
    const BatchProbe probe = probe_networks(tape, inner, graph.device_table(), inputs.weight, inputs.bias, options);
    const auto keep = [&](const TensorView& planes, const std::vector<TensorView>& views, std::int64_t at) {
      for (std::size_t p = 0; p < views.size(); ++p)
        copy(part(planes, static_cast<std::int64_t>(p), at, views[p].count()), reshape(views[p], {views[p].count()}),
             stream);
    };
    std::vector<TensorView> edges{inputs.weight, probe.fisher},
        nodes{inputs.bias, probe.fisher_bias, probe.mean, probe.rms, probe.correlation};
    if (gradients_) {
      edges.push_back(probe.gradient);
      nodes.push_back(probe.gradient_bias);
    }
    keep(edges_, edges, edge_[first]);
    keep(nodes_, nodes, node_[first]);
    if (features_ > 0)
      keep(saliencies_, {probe.feature_saliency, probe.unique_saliency}, static_cast<std::int64_t>(first) * features_);
  }
}

ProbeCache::Picks ProbeCache::stage(std::span<const int> picks, Arena& arena) const {
  const auto put = [&](const auto& first_of) {
    const Staging::Bytes memory = arena.stage(picks.size() * sizeof(std::int64_t));
    auto* first = static_cast<std::int64_t*>(memory.host);
    for (const int pick : picks) *first++ = first_of(static_cast<std::size_t>(pick));
    return static_cast<const std::int64_t*>(memory.device);
  };
  return {put([&](std::size_t pick) { return edge_[pick]; }), put([&](std::size_t pick) { return node_[pick]; }),
          put([&](std::size_t pick) { return static_cast<std::int64_t>(pick) * features_; })};
}

void ProbeCache::gather(const Picks& picks, EditorInputs& inputs, Arena& arena, Stream stream) const {
  const kernels::BlockTable& table = *inputs.table;
  const auto fetch = [&](const TensorView& x, const std::int64_t* first, const kernels::Segments& segments,
                         std::int64_t count) {
    const TensorView y = arena.tensor({x.extent(0), count}, x.dtype);
    kernels::gather_segments({.x = x, .first = first, .segments = segments, .y = y}, stream);
    return y;
  };
  const TensorView edges = fetch(edges_, picks.edge, table.network_edges, table.edge_count),
                   nodes = fetch(nodes_, picks.node, table.network_nodes, table.node_count);
  inputs.weight = plane(edges, 0);
  inputs.bias = plane(nodes, 0);
  BatchProbe& probe = inputs.probe;
  probe = {};
  probe.fisher = plane(edges, 1);
  probe.fisher_bias = plane(nodes, 1);
  probe.mean = plane(nodes, 2);
  probe.rms = plane(nodes, 3);
  probe.correlation = plane(nodes, 4);
  if (gradients_) {
    probe.gradient = slice_rows(edges, 2, 1);
    probe.gradient_bias = slice_rows(nodes, 5, 1);
  }
  if (features_ > 0) {
    const std::int64_t networks = table.network_count;
    const TensorView both = fetch(saliencies_, picks.feature, inputs.feature_rows, networks * features_);
    probe.feature_saliency = reshape(plane(both, 0), {networks, features_});
    probe.unique_saliency = reshape(plane(both, 1), {networks, features_});
  }
}

}  // namespace amend
