#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "kernels/message_layers.hpp"
#include "test/support/random_networks.hpp"

namespace amend::test {

/// Of states of this type.
inline DType arithmetic_of(DType state) { return state == DType::bfloat16 ? DType::float32 : state; }

struct MessageShape {
  std::int64_t d, h;
  int layers;
  std::int64_t p = 5, f = 7;
};

/// Random arguments of message_layers. Networks that are part of a larger batch take their rows of its inputs.
struct MessageSetup {
  const kernels::BlockTable& table;
  MessageShape shape;
  kernels::Precision precision;
  Tensor edge, node, condition;
  std::vector<kernels::MessageLayer> layer;
  std::vector<Tensor> storage;

  MessageSetup(const kernels::BlockTable& own, const MessageShape& of, DType edge_type,
               const kernels::BlockTable* batch = nullptr, std::int64_t network = 0)
      : table(own),
        shape(of),
        precision(edge_type == DType::bfloat16 ? kernels::Precision::bf16 : kernels::Precision::float32) {
    const DType dtype = arithmetic_of(edge_type);
    const kernels::BlockTable& all = batch ? *batch : own;
    const auto rows = [&](std::int64_t first, std::int64_t count, std::int64_t of_all, std::int64_t width, DType type,
                          std::uint64_t seed, double scale = 1.0, double shift = 0.0) {
      return convert(slice_rows(random_tensor({of_all, width}, type, seed, scale, shift), first, count), type);
    };
    const auto networks = [&](std::int64_t width, std::uint64_t seed, double scale = 1.0, double shift = 0.0) {
      return rows(network, own.network_count, all.network_count, width, dtype, seed, scale, shift);
    };
    const bool part = batch != nullptr;
    edge = rows(part ? all.network[network].edge_offset : 0, own.edge_count, all.edge_count, of.d, edge_type, 1);
    node = rows(part ? all.network[network].node_offset : 0, own.node_count, all.node_count, of.h, dtype, 2);
    condition = networks(of.p, 3);
    const auto keep = [&](Tensor x) { return storage.emplace_back(std::move(x)).view(); };
    const auto weight = [&](std::int64_t out, std::int64_t in, std::uint64_t seed) {
      return keep(random_tensor({out, in}, dtype, seed, 1.0 / std::sqrt(static_cast<double>(in))));
    };
    for (int l = 0; l < of.layers; ++l) {
      const auto seed = static_cast<std::uint64_t>(10 + 10 * l);
      layer.push_back({.projection_weight = weight(4 * of.d, of.h, seed),
                       .projection_bias = keep(random_tensor({4 * of.d}, dtype, seed + 1, 0.3)),
                       .weight_c = weight(of.d, of.d, seed + 2),
                       .weight_g = weight(of.d, of.d, seed + 3),
                       .modulation = keep(networks(3 * of.d, seed + 4, 0.3, 0.7)),
                       .weight1 = weight(of.f, of.h + 2 * of.d + of.p, seed + 5),
                       .bias1 = keep(random_tensor({of.f}, dtype, seed + 6, 0.3)),
                       .weight2 = weight(of.h, of.f, seed + 7),
                       .bias2 = keep(random_tensor({of.h}, dtype, seed + 8, 0.3)),
                       .alpha = keep(networks(of.h, seed + 9, 0.3, 0.5))});
    }
  }

  /// edge_out and node_out of message_layers, which `run` is. With `embed` that forms the states.
  template <class Run>
  std::pair<Tensor, Tensor> run(const Run& run, const kernels::EdgeEmbed& embed = {}) const {
    const DType dtype = node.view().dtype;
    std::pair<Tensor, Tensor> out{Tensor(edge.view().shape, edge.view().dtype), Tensor(node.view().shape, dtype)};
    const Tensor projection({table.node_count, 4 * shape.d}, dtype), aggregate({table.node_count, 2 * shape.d}, dtype);
    kernels::MessageLayers args{.table = table,
                                .layers = static_cast<std::int32_t>(layer.size()),
                                .embed = embed,
                                .edge = edge,
                                .node = node,
                                .condition = condition,
                                .edge_out = out.first,
                                .node_out = out.second,
                                .projection = projection,
                                .aggregate = aggregate,
                                .precision = precision};
    for (std::size_t l = 0; l < std::min<std::size_t>(layer.size(), kernels::kMaxMessageLayers); ++l)
      args.layer[l] = layer[l];
    run(args, Stream{});
    return out;
  }
};

}  // namespace amend::test
