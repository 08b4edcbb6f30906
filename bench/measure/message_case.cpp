#include "autograd/op/edge_update.hpp"
#include "autograd/op/linear.hpp"
#include "autograd/op/node_update.hpp"
#include "autograd/op/reduce.hpp"
#include "bench/measure/case_inputs.hpp"
#include "engine/copy.hpp"
#include "engine/parallel.hpp"
#include "kernels/fill.hpp"

namespace amend::bench {

namespace {

/// Networks a thread takes at a time, as in training.
constexpr int kNetworks = 4;

}  // namespace

MessageCase::MessageCase(const Workload& workload, int batch, DType dtype, Device device)
    : workload_(workload),
      stream_(device),
      dataset_(tabular_dataset(workload.widths.front(), workload.widths.back(), 256)),
      trained_(random_editor(workload, dataset_, dtype, device)),
      networks_(random_networks(workload.widths, batch)) {
  const auto pointers = pointers_to(networks_);
  const int shard_networks = device.is_cuda() ? batch : kNetworks;
  for (int first = 0; first < batch; first += shard_networks) {
    auto shard = std::make_unique<Shard>(stream_);
    shard->graph.assign(std::span(pointers).subspan(static_cast<std::size_t>(first),
                                                    static_cast<std::size_t>(std::min(shard_networks, batch - first))));
    shard->graph.stage(shard->fixed);
    shard->fixed.upload(stream_);
    shard->first_network = first;
    shards_.push_back(std::move(shard));
  }
  const BatchSize size = batch_size(workload.widths, batch);
  const std::int64_t edges = static_cast<std::int64_t>(size.edges), nodes = static_cast<std::int64_t>(size.nodes);
  const auto make = [&](Shape shape, std::uint32_t sequence, double scale) {
    const Tensor host(shape, dtype);
    fill_normal(host, 23, sequence, scale, 0.0);
    if (!device.is_cuda()) return host;
    Tensor there(shape, dtype, device);
    copy(there, host, stream_);
    return there;
  };
  edge_ = make({edges, workload.edge_width}, 1, 1.0);
  node_ = make({nodes, workload.node_width}, 2, 1.0);
  condition_ = make({batch, workload.node_width}, 3, 0.5);
  if (device.is_cuda()) return;
  edge_out_ = host_edge_out_ = Tensor(edge_.view().shape, dtype);
  node_out_ = host_node_out_ = Tensor(node_.view().shape, dtype);
}

void MessageCase::run() {
  stream_.make_current();
  if (edge_.view().device.is_cuda()) {
    Shard& all = *shards_.front();
    all.tape.reset();
    const std::vector<TensorView>& out = graphs_.run(all.graph.launch_key(), stream_, [&] { return run_shard(all); });
    edge_out_ = out[0];
    node_out_ = out[1];
    return;
  }
  parallel_for(static_cast<std::int64_t>(shards_.size()), [&](std::int64_t s) {
    Shard& shard = *shards_[static_cast<std::size_t>(s)];
    shard.tape.reset();
    const std::vector<TensorView> out = run_shard(shard);
    const auto keep = [&](const TensorView& from, const TensorView& to) {
      const std::int64_t rows = to.extent(0) / static_cast<std::int64_t>(networks_.size());  // of a network
      copy(slice_rows(to, shard.first_network * rows, from.extent(0)), from, Stream());
    };
    keep(out[0], edge_out_);
    keep(out[1], node_out_);
  });
}

std::vector<TensorView> MessageCase::run_shard(Shard& shard) {
  const ParameterSet& parameters = trained_.editor->parameters();
  const kernels::BlockTable& table = shard.graph.device_table();
  const std::int64_t d = workload_.edge_width, h = workload_.node_width;
  const DType dtype = edge_.view().dtype;
  Tape& tape = shard.tape;
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
  return {edge.value(), node.value()};
}

}  // namespace amend::bench
