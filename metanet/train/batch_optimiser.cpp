#include "metanet/train/batch_optimiser.hpp"

#include <algorithm>

#include "engine/copy.hpp"
#include "engine/memory.hpp"
#include "kernels/adamw.hpp"

namespace amend {

BatchOptimiser::BatchOptimiser(const GraphBatch& graph, Arena& arena, Stream stream, Networks networks,
                               Networks first_moment, Networks second_moment)
    : edges_(graph.table().edge_count), nodes_(graph.table().node_count) {
  constexpr auto kAligned = static_cast<std::int64_t>(kAlignment / sizeof(float));
  first_bias_ = (edges_ + kAligned - 1) / kAligned * kAligned;
  const std::int32_t count = graph.networks();
  const Staging::Bytes offset = arena.stage(static_cast<std::size_t>(2 * count + 1) * sizeof(std::int64_t));
  // The last network's weights include the padding.
  auto* const biases = std::copy_n(graph.table().network_edges.offset, count, static_cast<std::int64_t*>(offset.host));
  std::transform(graph.table().network_nodes.offset, graph.table().network_nodes.offset + count + 1, biases,
                 [&](std::int64_t node) { return first_bias_ + node; });
  segments_ = {static_cast<const std::int64_t*>(offset.device), 2 * count};

  const auto moment = [&](Networks of) {
    return split(of.empty() ? arena.zeros({first_bias_ + nodes_}, DType::float32, stream)
                            : gather(graph, of, arena).device);
  };
  value_ = split(gather(graph, networks, arena).device);
  grad_ = split(arena.tensor({first_bias_ + nodes_}, DType::float32));
  first_moment_ = moment(first_moment);
  second_moment_ = moment(second_moment);
}

BatchValues BatchOptimiser::split(const TensorView& all) const {
  return {.all = all, .weight = slice_rows(all, 0, edges_), .bias = slice_rows(all, first_bias_, nodes_)};
}

Arena::Staged BatchOptimiser::gather(const GraphBatch& graph, Networks networks, Arena& arena) const {
  const Arena::Staged staged = arena.stage({first_bias_ + nodes_}, DType::float32);
  const BatchValues host = split(staged.host);
  graph.gather(networks, host.weight, host.bias);
  std::fill(host.all.as<float>() + edges_, host.all.as<float>() + first_bias_, 0.0f);
  return staged;
}

BatchOptimiser::HostValues BatchOptimiser::on_host(const BatchValues& values, Stream stream) const {
  if (!stream.device().is_cuda()) return {.values = values, .copy = {}};
  const Tensor copy = host_copy(values.all, stream);
  return {.values = split(copy), .copy = copy};
}

void BatchOptimiser::Rates::set(std::int64_t network, double rate, double decay) const {
  const std::int64_t bias = learning_rate.host.count() / 2 + network;
  learning_rate.host.as<double>()[network] = learning_rate.host.as<double>()[bias] = rate;
  weight_decay.host.as<double>()[network] = decay;
  weight_decay.host.as<double>()[bias] = 0.0;
}

BatchOptimiser::Rates BatchOptimiser::stage_rates(Arena& arena) const {
  return {.learning_rate = arena.stage({segments_.count}, DType::float64),
          .weight_decay = arena.stage({segments_.count}, DType::float64)};
}

void BatchOptimiser::step(const Rates& rates, const TensorView& schedule, Stream stream) const {
  kernels::adamw({.value = value_.all,
                  .grad = grad_.all,
                  .first_moment = first_moment_.all,
                  .second_moment = second_moment_.all,
                  .segments = segments_,
                  .learning_rate = rates.learning_rate.device,
                  .weight_decay = rates.weight_decay.device,
                  .schedule = schedule},
                 stream);
}

}  // namespace amend
