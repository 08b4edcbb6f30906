// K message layers of a network in one launch: the states of its edges are read from memory once, stay in the shared
// memory of a thread block, or of the blocks of a cluster, and are written once. Bytes an edge that it must cost: twice
// the size of its state, whatever K (8 D in float32, 4 D in bf16); where states are formed from features, which happens
// there, too, 12 and a state's size. Operations: those of the layers, 4 D^2 an edge and layer in the products, for a
// node 8 D H + 2 F (2 H + 2 D + P), and for a state that is formed those of edge_embed.
//
// The largest network of the batch says how many blocks a network has: the fewest of 1, 2, 4 and 8 that have room for
// its states beside what their work needs. A block of 227 KB has it for about 600 edges of 64 float32 channels, or 1300
// of bf16. Where 8 are too few, and where the device has no clusters and one is, the batch runs layer by layer, with
// the kernels of the layers.
//
// A thread block has 8 warps. Alone it does its network's items (edge_plan.cuh) one after the other, as edge_update
// does; nodes are done 16 at a time, a thread forming an output of 8 of them.
#include "kernels/cuda/message_layers.cuh"

#include <algorithm>

#include "kernels/cuda/device_limits.cuh"
#include "kernels/cuda/message_clusters.cuh"
#include "kernels/edge_update.hpp"
#include "kernels/message_arguments.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_embed_forward(const EdgeEmbed& args, Stream stream);
void linear_forward(const Linear& args, Stream stream);
void edge_update_forward(const EdgeUpdate& args, Stream stream);
void node_update_forward(const NodeUpdate& args, Stream stream);

namespace {

/// weight (out, in) of the three products of a node, transposed.
template <class T>
struct NodeWeights {
  const T *projection, *weight1, *weight2;
  std::int64_t d4, h, in, f;

  std::int64_t count() const { return d4 * h + f * in + h * f; }
};

template <class T>
void transpose_weights(const NodeWeights<T>& from, T* to, Stream stream) {
  for_elements(from.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t projections = from.d4 * from.h, firsts = from.f * from.in;
    const auto transposed = [](const T* weight, std::int64_t out, std::int64_t in, std::int64_t at) {
      return weight[at % out * in + at / out];
    };
    to[i] = i < projections            ? transposed(from.projection, from.d4, from.h, i)
            : i < projections + firsts ? transposed(from.weight1, from.f, from.in, i - projections)
                                       : transposed(from.weight2, from.h, from.f, i - projections - firsts);
  });
}

/// How many blocks a network has, none when the largest does not fit; networks at a time; a block's shared memory.
struct ChipLaunch {
  int blocks;
  std::int64_t at_a_time;
  std::size_t shared;
};

template <class S, class T, int D, Precision P>
ChipLaunch chip_launch(const BlockTable& table, std::int64_t inputs, std::int64_t hidden, Stream stream) {
  const std::size_t work = chip_work_bytes<T, D, P>(inputs, hidden),
                    most = static_cast<std::size_t>(device_limits(stream).shared_bytes);
  const auto bytes = [&](std::int64_t edges) { return static_cast<std::size_t>(edges) * D * sizeof(S) + work; };
  if (bytes(table.max_edges) <= most) return {1, table.network_count, bytes(table.max_edges)};
  for (int blocks = 2; blocks <= kMaxCluster; blocks *= 2) {
    const std::size_t shared = bytes(share_room(table.max_edges, blocks));
    if (sizeof(ClusterShared) + shared > most) continue;
    const std::int64_t clusters =
        max_clusters(message_clusters_kernel<S, T, D, P>, blocks, dim3(kThreads), shared, stream);
    if (clusters > 0) return {blocks, std::min<std::int64_t>(clusters, table.network_count), shared};
  }
  return {};
}

/// False when a network does not fit.
template <class S, class T, int D, Precision P>
bool run_on_chip(const MessageLayers& m, Stream stream) {
  using Stored = typename EdgeProduct<T, D, P>::Stored;
  const std::int64_t h = m.node.extent(1), p = m.condition.extent(1), f = m.layer[0].weight1.extent(0),
                     in = h + 2 * D + p;
  for (std::int32_t l = 1; l < m.layers; ++l)
    if (m.layer[l].weight1.extent(0) != f) return false;
  const ChipLaunch chip = chip_launch<S, T, D, P>(m.table, in, f, stream);
  if (chip.blocks == 0) return false;
  Stored* matrices = nullptr;
  T* weights = nullptr;
  const std::int64_t node_weights = NodeWeights<T>{nullptr, nullptr, nullptr, 4 * D, h, in, f}.count();
  ClusterLayers<S, T, D, P> c{};
  ChipLayers<S, T, D, P>& a = c.chip;
  a.table = m.table;
  a.layers = m.layers;
  a.h = static_cast<std::int32_t>(h);
  a.p = static_cast<std::int32_t>(p);
  a.f = static_cast<std::int32_t>(f);
  if (m.embed.input) a.embed = Embedding<T>(m.embed, 0);
  a.edge = m.edge.as<S>();
  a.node = m.node.as<T>();
  a.condition = m.condition.as<T>();
  a.edge_out = m.edge_out.as<S>();
  a.node_out = m.node_out.as<T>();
  a.projection = m.projection.as<T>();
  a.aggregate = m.aggregate.as<T>();
  in_workspace(stream, [&](WorkspaceLayout& layout) {
    matrices = layout.take<Stored>(std::int64_t{m.layers} * kEdgeMatrices * D * D);
    weights = layout.take<T>(m.layers * node_weights);
    const std::int64_t sums = chip.blocks > 1 ? chip.at_a_time * m.table.max_edges * D : 0;
    c.row_sums = layout.take<T>(sums);
    c.chain_sums = layout.take<T>(sums);
  });
  for (std::int32_t l = 0; l < m.layers; ++l) {
    const MessageLayer& from = m.layer[l];
    Stored* own_matrices = matrices + std::int64_t{l} * kEdgeMatrices * D * D;
    T* own = weights + l * node_weights;
    prepare_matrices<T, D, P>(from.weight_c.as<T>(), from.weight_g.as<T>(), own_matrices, stream);
    transpose_weights<T>({from.projection_weight.as<T>(), from.weight1.as<T>(), from.weight2.as<T>(), 4 * D, h, in, f},
                         own, stream);
    a.layer[l] = {.matrices = own_matrices,
                  .modulation = from.modulation.as<T>(),
                  .projection_weight = own,
                  .projection_bias = from.projection_bias.as<T>(),
                  .weight1 = own + 4 * D * h,
                  .bias1 = from.bias1.as<T>(),
                  .weight2 = own + 4 * D * h + f * in,
                  .bias2 = from.bias2.as<T>(),
                  .alpha = from.alpha.as<T>()};
  }
  if (chip.blocks == 1) {
    launch(message_layers_kernel<S, T, D, P>, grid_of(chip.at_a_time), dim3(kThreads), chip.shared, stream, a);
  } else {
    c.room = static_cast<std::int32_t>(share_room(m.table.max_edges, chip.blocks));
    launch_clusters(message_clusters_kernel<S, T, D, P>, chip.at_a_time, chip.blocks, dim3(kThreads), chip.shared,
                    stream, c);
  }
  return true;
}

/// Wider states fit for hardly any network; tf32 is for training.
template <class S, class T, Precision P>
bool run_on_chip_of_width(const MessageLayers& m, Stream stream) {
  switch (m.edge.extent(1)) {
    case 16: return run_on_chip<S, T, 16, P>(m, stream);
    case 32:
      if constexpr (sizeof(T) == 4) return run_on_chip<S, T, 32, P>(m, stream);
      return false;
    case 64:
      if constexpr (sizeof(T) == 4) return run_on_chip<S, T, 64, P>(m, stream);
      return false;
    default: return false;
  }
}

bool run_on_chip(const MessageLayers& m, Stream stream) {
  if (m.layers == 0) return false;
  if (m.edge.dtype == DType::bfloat16) return run_on_chip_of_width<BFloat16, float, Precision::bf16>(m, stream);
  if (m.precision != Precision::float32) return false;
  if (m.edge.dtype == DType::float64) return run_on_chip_of_width<double, double, Precision::float32>(m, stream);
  return run_on_chip_of_width<float, float, Precision::float32>(m, stream);
}

/// y = x, of elements of 2, 4 or 8 bytes.
void copy(const TensorView& x, const TensorView& y, Stream stream) {
  const auto* from = static_cast<const std::uint16_t*>(x.data);
  auto* to = static_cast<std::uint16_t*>(y.data);
  for_elements(static_cast<std::int64_t>(x.bytes() / sizeof(std::uint16_t)), stream,
               [=] __device__(std::int64_t i) { to[i] = from[i]; });
}

}  // namespace

void message_layers(const MessageLayers& args, Stream stream) {
  validate(args);
  if (run_on_chip(args, stream)) return;
  if (args.embed.input) AMEND_CUDA_TWIN::edge_embed_forward(args.embed, stream);
  if (args.layers == 0) {
    copy(args.edge, args.edge_out, stream);
    copy(args.node, args.node_out, stream);
  }
  TensorView edge = args.edge, node = args.node;
  for (std::int32_t l = 0; l < args.layers; ++l) {
    AMEND_CUDA_TWIN::linear_forward(projection_of(args, l, node), stream);
    AMEND_CUDA_TWIN::edge_update_forward(edges_of(args, l, edge), stream);
    AMEND_CUDA_TWIN::node_update_forward(nodes_of(args, l, node), stream);
    edge = args.edge_out;  // from here on in place
    node = args.node_out;
  }
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
