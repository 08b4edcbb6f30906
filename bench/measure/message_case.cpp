#include "autograd/op/edge_update.hpp"
#include "autograd/op/linear.hpp"
#include "autograd/op/node_update.hpp"
#include "autograd/op/reduce.hpp"
#include "bench/measure/workload.hpp"
#include "engine/parallel.hpp"
#include "kernels/fill.hpp"

namespace amend::bench {

namespace {

/// Networks a thread takes at a time, as in BatchEditor.
constexpr int kNetworks = 4;

void fill_normal(const TensorView& view, std::uint32_t stream, float scale) {
  const RandomStream random(23, stream);
  for (std::int64_t i = 0; i < view.count(); ++i) {
    const float value = scale * random.normal(static_cast<std::uint64_t>(i));
    if (view.dtype == DType::float64)
      view.as<double>()[i] = static_cast<double>(value);
    else
      view.as<float>()[i] = value;
  }
}

}  // namespace

MessageCase::MessageCase(const Workload& workload, int batch, DType dtype)
    : workload_(workload),
      dataset_(tabular_dataset(workload.widths.front(), workload.widths.back(), 256)),
      trained_(random_editor(workload, dataset_, dtype)),
      networks_(random_networks(workload.widths, batch)) {
  const auto pointers = pointers_to(networks_);
  const GraphBatch all(pointers);
  const kernels::BlockTable& table = all.table();
  const std::int64_t d = workload.edge_width, h = workload.node_width;
  edge_ = Tensor({table.edge_count, d}, dtype);
  node_ = Tensor({table.node_count, h}, dtype);
  condition_ = Tensor({table.network_count, h}, dtype);
  edge_out_ = Tensor(edge_.view().shape, dtype);
  node_out_ = Tensor(node_.view().shape, dtype);
  fill_normal(edge_, 1, 1.0f);
  fill_normal(node_, 2, 1.0f);
  fill_normal(condition_, 3, 0.5f);
  for (int first = 0; first < batch; first += kNetworks) {
    auto shard = std::make_unique<Shard>();
    shard->graph.assign(std::span(pointers).subspan(static_cast<std::size_t>(first),
                                                    static_cast<std::size_t>(std::min(kNetworks, batch - first))));
    shard->first_network = first;
    shards_.push_back(std::move(shard));
  }
}

void MessageCase::run() {
  parallel_for(static_cast<std::int64_t>(shards_.size()),
               [&](std::int64_t s) { run_shard(*shards_[static_cast<std::size_t>(s)]); });
}

void MessageCase::run_shard(Shard& shard) {
  const ParameterSet& parameters = trained_.editor->parameters();
  const kernels::BlockTable& table = shard.graph.table();
  const std::int64_t d = workload_.edge_width, h = workload_.node_width;
  const DType dtype = edge_.view().dtype;
  Tape& tape = shard.tape;
  tape.reset();
  tape.set_recording(false);
  const auto use = [&](const std::string& name) {
    const auto& entries = parameters.entries();
    for (std::size_t index = 0; index < entries.size(); ++index)
      if (entries[index].name == name) return parameters.use(tape, static_cast<int>(index));
    fail("message_case", "the editor has no parameter `", name, "`");
  };
  const auto linear = [&](const std::string& name, Variable x, const kernels::Segments& segments) {
    return op::linear(tape, x, use(name + ".weight"), use(name + ".bias"), segments);
  };
  // All networks have one shape.
  const std::int64_t edges = table.edge_count / table.network_count, nodes = table.node_count / table.network_count;
  const auto part = [&](const TensorView& view, std::int64_t per_network) {
    return slice_rows(view, shard.first_network * per_network, table.network_count * per_network);
  };
  Variable edge = tape.constant(part(edge_, edges)), node = tape.constant(part(node_, nodes));
  const Variable condition = tape.constant(part(condition_, 1));
  for (int k = 0; k < workload_.messages; ++k) {
    const std::string name = "message." + std::to_string(k);
    const TensorView start = tape.arena().tensor({table.network_count, 3 * d}, dtype);
    kernels::modulation_start({.y = start, .ones = d, .step = 0.5}, tape.stream());
    const TensorView half = tape.arena().tensor({table.network_count, h}, dtype);
    kernels::fill({.y = half, .value = 0.5}, tape.stream());
    const Variable modulation =
        op::add(tape, linear(name + ".modulation", condition, table.networks), tape.constant(start));
    const Variable alpha = op::add(tape, linear(name + ".alpha", condition, table.networks), tape.constant(half));
    const auto message = op::edge_update(tape, table, edge, linear(name + ".projection", node, table.network_nodes),
                                         use(name + ".edge.c"), use(name + ".edge.g"), modulation);
    edge = message.edge;
    node = op::node_update(tape, table, node, message.aggregate, condition,
                           {use(name + ".node.0.weight"), use(name + ".node.0.bias"), use(name + ".node.1.weight"),
                            use(name + ".node.1.bias")},
                           alpha);
  }
  const auto copy = [](const TensorView& from, const TensorView& to) {
    std::copy_n(static_cast<const std::byte*>(from.data), from.bytes(), static_cast<std::byte*>(to.data));
  };
  copy(edge.value(), part(edge_out_, edges));
  copy(node.value(), part(node_out_, nodes));
}

}  // namespace amend::bench
