// h = relu(W e + W2 e2 + u_i + v_j + kind_bias); [h = relu(mix h);] out = head h + head_bias, in plain float32.
//
// Bytes an edge: 4 (D + D2 + outputs) forward, the same and the gradients of the edges backward; hidden layers stay in
// registers and shared memory, and so do features, of whose 15 (D, of the first pass) and 9 (D2, of a refinement) the 3
// and 7 numbers are read that they are formed from. Operations an edge: 2 H (D + D2 + H + outputs) forward; backward
// that again, the same for the weights' gradients, and 2 H (H + outputs) or, with gradients of the edges, the same once
// more. At D = 15, D2 = 9, H = 16 and three outputs 108 bytes, 1,376 operations forward and 3,360 backward: where a
// byte takes the time of 20 operations, memory is the limit of the forward pass and arithmetic that of the backward
// pass.
//
// Forward: a warp takes tiles of 32 E consecutive edges of whatever blocks, a thread E edges of it, with N hidden units
// of each in registers: all of them up to 32 units, of more 32 at a time, so that two edges share each weight that is
// read. Warps do not wait for each other.
//
// Backward: a thread block takes items of whole target rows of one block of the table, in tiles of E edges a thread.
// Sums over an item's columns stay in shared memory; where a block has several items they are partial sums, like those
// of the weights' gradients, and a second launch adds both in order. Items depend on a block's own shape, the number of
// partial sums of the weights on the number of edges.
//
// Shared memory of a block: up to 110 KB forward and 163 KB backward, or the 99 KB of devices that have no more. There
// a forward block has fewer warps and, if need be, no copies of the matrices, whose rows it then reads for every tile.
// Backward sums move to memory first: those of the weights' gradients cost 8 bytes a weight and tile there, those over
// columns up to 8 H bytes an edge; then the copies go. All that leaves the bits as they are. Where it is not enough,
// tiles are of 64 or 32 edges instead of 128 or 64: sums of the weights' gradients have other bits then.
#include <algorithm>
#include <span>

#include "kernels/cuda/device_limits.cuh"
#include "kernels/cuda/edit_head_backward.cuh"
#include "kernels/edit_head_arguments.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr std::int64_t kResidentBytes = 64 << 10;  // of weights that have a copy in shared memory
constexpr std::int64_t kForwardBytes = 110 << 10;  // a block of more takes fewer warps: two blocks on a multiprocessor
constexpr int kForwardThreads = 128, kForwardBlocks = 2048;
constexpr int kBackwardThreads = 64;
constexpr std::int64_t kPartEdges = 1024, kMaxParts = 2048;

/// Bytes of shared memory that a block may take: no more than kRoomy on any device.
constexpr auto kRoomy = static_cast<std::int64_t>(Footprint::roomy);
std::int64_t shared_room(Stream stream) { return std::min<std::int64_t>(device_limits(stream).shared_bytes, kRoomy); }

/// Where the tiles of the forward pass lie: a row holds the inputs, the first layer (in the inputs' place when it has
/// one chunk), the outputs.
struct ForwardLayout : HeadLayout {
  std::int32_t first_layer, outputs, stride, tiles;

  template <class T, int N>
  ForwardLayout(const Head<T>& net, std::integral_constant<int, N> n, bool keep_resident)
      : HeadLayout(net, n, keep_resident, false, false) {
    const std::int32_t in = 4 * quads_of(net.in), layer = net.mix ? net.hidden : 0;
    const bool alone = net.hidden == N;
    first_layer = alone ? 0 : in;
    outputs = alone ? (in > layer ? in : layer) : in + layer;
    stride = row_stride(outputs + net.outputs);
    tiles = total;
  }
};

template <class T, int N, int E>
__global__ void __launch_bounds__(kForwardThreads, N* E < 64 ? 4 : 3)
    forward_kernel(const __grid_constant__ Head<T> net, ForwardLayout layout, T* out) {
  constexpr std::int32_t kTile = kWarp * E;
  T* memory = dynamic_shared_memory<T>();
  const HeadWeights<T, N> weights(net, layout, memory);
  __syncthreads();
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kWarp),
             warp = static_cast<std::int32_t>(threadIdx.x / kWarp);
  const auto warps = static_cast<std::int32_t>(blockDim.x / kWarp);
  const std::int32_t stride = layout.stride, step = kWarp * stride;
  T* tile = memory + layout.tiles + warp * kTile * stride;
  T* row = tile + lane * stride;
  const std::int64_t edges = net.table.edge_count, rounds = ceil_div(edges, std::int64_t{kTile} * warps),
                     begin = rounds * blockIdx.x / gridDim.x, end = rounds * (blockIdx.x + 1) / gridDim.x;
  std::int32_t block = begin * warps * kTile < edges ? segment_of(net.table.block_edges, begin * warps * kTile) : 0;
  for (std::int64_t round = begin; round < end; ++round) {
    const std::int64_t first = (round * warps + warp) * kTile, left = edges - first;
    const std::int32_t count = left >= kTile ? kTile : left > 0 ? static_cast<std::int32_t>(left) : 0;
    net.stage(first, count, tile, stride, lane, kWarp);
    std::int32_t own = block;
#pragma unroll 1
    for (std::int32_t at = lane; net.forms() && at < count; at += kWarp)
      net.form(first + at, find_ends(net.table, first + at, own), tile + at * stride);
    EdgeEnds ends[E];
    own = block;
#pragma unroll
    for (int e = 0; e < E; ++e) {
      const std::int32_t at = lane + e * kWarp;
      ends[e] = at < count ? find_ends(net.table, first + at, own) : EdgeEnds{0, 0, -1, 0};
      for (std::int32_t c = net.in; c < 4 * quads_of(net.in); ++c) row[e * step + c] = T(0);
    }
    // Lane 0's last edge is a start for all that come.
    block = __shfl_sync(kAllLanes, own, 0);
    __syncwarp();
    run_hidden<N, E>(net, weights, ends, row, step, row + layout.first_layer, step,
                     [&](std::int32_t chunk, const T(&value)[E][N]) {
#pragma unroll
                       for (int e = 0; e < E; ++e) {
                         const std::int32_t kind = ends[e].kind < 0 ? 0 : ends[e].kind;
                         const T* head = weights.head + kind * weights.output_rows * net.hidden + chunk * N;
                         T* result = row + e * step + layout.outputs;
                         for (std::int32_t o = 0; o < net.outputs; ++o) {
                           T sum = chunk == 0 ? weights.head_bias[kind * net.outputs + o] : result[o];
#pragma unroll
                           for (int n = 0; n < N; n += 4) {
                             const Quad<T> w = load_quad(head + o * net.hidden + n);
#pragma unroll
                             for (int i = 0; i < 4; ++i) sum += w.value[i] * value[e][n + i];
                           }
                           result[o] = sum;
                         }
                       }
                     });
    __syncwarp();
    unstage_rows(tile + layout.outputs, stride, count, net.outputs, false, out + first * net.outputs, lane, kWarp);
    __syncwarp();
  }
}

template <class T>
void check_room(const Head<T>& net, std::int64_t bytes, std::int64_t room) {
  check(bytes <= room, "edit_head", "rows of ", net.in, " inputs and ", net.h, " hidden units need ", bytes,
        " bytes of shared memory, and a thread block has ", room);
}

template <class T, int N, int E>
void forward(const EditHead& a, Stream stream) {
  constexpr std::integral_constant<int, N> n;
  const Head<T> net(a, N);
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T)), room = shared_room(stream);
  ForwardLayout layout(net, n, true);
  const std::int64_t warp_bytes = std::int64_t{kWarp} * E * layout.stride * size;
  if (layout.total * size > std::min(kResidentBytes, room - warp_bytes)) layout = ForwardLayout(net, n, false);
  int warps = kForwardThreads / kWarp;
  while (warps > 1 && layout.total * size + warps * warp_bytes > std::min(kForwardBytes, room)) warps /= 2;
  const std::int64_t bytes = layout.total * size + warps * warp_bytes;
  check_room(net, bytes, room);
  const std::int64_t rounds = ceil_div(net.table.edge_count, std::int64_t{kWarp} * E * warps);
  launch(forward_kernel<T, N, E>, grid_of(rounds < kForwardBlocks ? rounds : kForwardBlocks), dim3(warps * kWarp),
         static_cast<std::size_t>(bytes), stream, net, layout, a.out.as<T>());
}

template <class T, int N, int E>
__global__ void __launch_bounds__(kBackwardThreads, 4)
    backward_kernel(const __grid_constant__ Head<T> net, const __grid_constant__ HeadGradient<T> grad,
                    BackwardLayout layout, WeightParts parts) {
  T* memory = dynamic_shared_memory<T>();
  const HeadWeights<T, N> weights(net, layout, memory);
  const auto thread = static_cast<std::int32_t>(threadIdx.x), threads = static_cast<std::int32_t>(blockDim.x);
  T* partial = grad.partial + std::int64_t{blockIdx.x} * parts.total;
  T* sums = layout.sums < 0 ? partial : memory + layout.sums;
  T* item_column =
      layout.column < 0 ? grad.item_columns + std::int64_t{blockIdx.x} * layout.column_room : memory + layout.column;
  for (std::int32_t i = thread; i < parts.total; i += threads) sums[i] = T(0);
  __syncthreads();
  const BackwardTile<T, N, E> tile{net, weights, grad, layout, parts, memory, sums};

  // The items whose first edge is in this share of the edges.
  const std::int64_t edges = net.table.edge_count, begin = edges * blockIdx.x / gridDim.x,
                     end = edges * (blockIdx.x + 1) / gridDim.x;
  std::int32_t b = segment_of(net.table.block_edges, begin);
  for (; b < net.table.block_count && net.table.block[b].edge_offset < end; ++b) {
    const Block block = net.table.block[b];
    const BlockItems items(block);
    const std::int64_t item_edges = items.rows * block.cols, before = begin - block.edge_offset;
    for (std::int64_t item = before > 0 ? ceil_div(before, item_edges) : 0;
         item < items.count && block.edge_offset + item * item_edges < end; ++item) {
      const std::int64_t from = item * item_edges, all = std::int64_t{block.rows} * block.cols,
                         to = from + item_edges < all ? from + item_edges : all;
      const bool alone = items.count == 1, kept = std::int64_t{block.cols} * net.h <= layout.column_room;
      T* home = alone ? grad.grad_projection + block.source_offset * 2 * net.h + net.h
                      : grad.columns + (first_column(block.edge_offset) + item * block.cols) * net.h;
      const std::int64_t home_stride = alone ? 2 * net.h : net.h;
      T* column = kept ? item_column : home;
      if (kept || !alone)
        for (std::int32_t i = thread; i < block.cols * net.h; i += threads) column[i] = T(0);
      for (std::int64_t at = from; at < to; at += threads * E) {
        const std::int64_t left = to - at;
        tile.run(block, b, at, left < threads * E ? static_cast<std::int32_t>(left) : threads * E, column,
                 kept ? net.h : home_stride);
      }
      if (kept)
        for (Walk walk(net.h, thread, threads); walk.row < block.cols; walk.next()) {
          T& target = home[walk.row * home_stride + walk.column];
          const T sum = column[walk.row * net.h + walk.column];
          target = alone ? target + sum : sum;
        }
      __syncthreads();
    }
  }
  if (layout.sums >= 0)
    for (std::int32_t i = thread; i < parts.total; i += threads) partial[i] = sums[i];
}

/// Targets of the partial sums, in the order of WeightParts.
template <class T>
struct WeightTargets {
  T *weight, *weight2, *mix, *head, *head_bias, *kind_bias;

  __device__ T& at(const WeightParts& p, std::int32_t i) const {
    if (i >= p.kind_bias) return kind_bias[i - p.kind_bias];
    if (i >= p.head_bias) return head_bias[i - p.head_bias];
    if (i >= p.head) return head[i - p.head];
    if (i >= p.mix) return mix[i - p.mix];
    return i >= p.weight2 ? weight2[i - p.weight2] : weight[i];
  }
};

template <class T>
struct StripSums {
  T sum[kThreads / kWarp][kWarp];
};
constexpr std::int32_t kColumnNodes = 64;

/// The first blocks add the weights' partial sums, 32 elements a block and a run of parts a warp, the others the
/// columns of blocks with several items, 64 columns each.
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_kernel(Head<T> net, HeadGradient<T> grad, WeightParts parts, WeightTargets<T> targets, std::int32_t part_count,
               std::int32_t weight_blocks, std::int32_t column_blocks) {
  if (blockIdx.x < static_cast<unsigned>(weight_blocks)) {
    StripSums<T>& shared = shared_memory<StripSums<T>>();
    const std::int32_t lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, i = blockIdx.x * kWarp + lane;
    constexpr std::int32_t kWarps = kThreads / kWarp;
    const std::int32_t first = part_count * warp / kWarps, last = part_count * (warp + 1) / kWarps;
    T sum = T(0);
    if (i < parts.total) {
#pragma unroll 8
      for (std::int32_t p = first; p < last; ++p) sum += grad.partial[std::int64_t{p} * parts.total + i];
    }
    shared.sum[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || i >= parts.total) return;
    for (std::int32_t w = 1; w < kWarps; ++w) sum += shared.sum[w][lane];
    targets.at(parts, i) += sum;
    return;
  }
  const std::int32_t index = static_cast<std::int32_t>(blockIdx.x) - weight_blocks;
  const Block block = net.table.block[index / column_blocks];
  const BlockItems items(block);
  const std::int32_t first = index % column_blocks * kColumnNodes;
  if (items.count == 1 || first >= block.cols) return;
  const std::int32_t last = first + kColumnNodes < block.cols ? first + kColumnNodes : block.cols;
  const T* column = grad.columns + first_column(block.edge_offset) * net.h;
  for (std::int32_t i = first * net.h + static_cast<std::int32_t>(threadIdx.x); i < last * net.h; i += kThreads) {
    T sum = T(0);
    for (std::int64_t item = 0; item < items.count; ++item) sum += column[item * block.cols * net.h + i];
    const std::int32_t col = i / net.h;
    grad.grad_projection[(block.source_offset + col) * 2 * net.h + net.h + i - col * net.h] += sum;
  }
}

/// The first that fits is taken: where a block has kRoomy bytes, and where it has less.
constexpr BackwardPlan kRoomyPlans[] = {
    {true, true, kBackwardThreads}, {false, true, kBackwardThreads}, {false, true, kWarp}};
constexpr BackwardPlan kTightPlans[] = {{true, true, kBackwardThreads},
                                        {true, false, kBackwardThreads},
                                        {false, false, kBackwardThreads},
                                        {false, false, kWarp}};

template <class T, int N, int E>
void backward(const EditHeadGradient& g, Stream stream) {
  constexpr std::integral_constant<int, N> n;
  const EditHead& a = g.forward;
  const Head<T> net(a, N);
  if (net.table.edge_count == 0) return;
  const WeightParts parts(net);
  const std::int64_t size = static_cast<std::int64_t>(sizeof(T)), edges = net.table.edge_count,
                     room = shared_room(stream);
  const bool edge_gradient = g.grad_edge || g.grad_edge2;
  // The largest networks that a batch could hold decide: tiles must not depend on those that it holds.
  const auto bytes = [&](const BackwardPlan& plan) {
    return BackwardLayout(net, n, plan, edge_gradient, E, kColumnBytes).total * size;
  };
  const bool small = HeadLayout(net, n, true, true, edge_gradient).total * size <= kResidentBytes;
  const auto plans = room < kRoomy ? std::span<const BackwardPlan>(kTightPlans) : kRoomyPlans;
  const auto plan = std::find_if(plans.begin(), plans.end(),
                                 [&](const BackwardPlan& p) { return (small || !p.resident) && bytes(p) <= room; });
  if (plan == plans.end()) {
    if constexpr (N == 32 && E > 1)
      return backward<T, N, 1>(g, stream);
    else
      check_room(net, bytes(plans.back()), room);
  }
  const BackwardLayout layout(net, n, *plan, edge_gradient, E, net.table.max_nodes);
  const std::int64_t wanted = ceil_div(edges, kPartEdges), part_count = wanted < kMaxParts ? wanted : kMaxParts;
  // A block has several items only when it has more edges than one.
  const bool several = net.table.max_edges > kHeadItemEdges;
  const std::int64_t columns = several ? first_column(edges) * net.h : 0;
  const std::int64_t item_columns = layout.column < 0 ? part_count * layout.column_room : 0;
  T* partial = workspace<T>(stream, part_count * parts.total + columns + item_columns);
  const HeadGradient<T> grad{g.grad_out.as<T>(),
                             elements<T>(g.grad_edge),
                             elements<T>(g.grad_edge2),
                             g.grad_projection.as<T>(),
                             g.fresh_edge,
                             partial,
                             partial + part_count * parts.total,
                             partial + part_count * parts.total + columns};
  launch(backward_kernel<T, N, E>, grid_of(part_count), dim3(static_cast<unsigned>(plan->threads)),
         static_cast<std::size_t>(layout.total * size), stream, net, grad, layout, parts);
  const WeightTargets<T> targets{g.grad_weight.as<T>(), elements<T>(g.grad_weight2), elements<T>(g.grad_mix),
                                 g.grad_head.as<T>(),   g.grad_head_bias.as<T>(),    g.grad_kind_bias.as<T>()};
  const std::int64_t weight_blocks = ceil_div(parts.total, kWarp),
                     column_blocks = several ? ceil_div(net.table.max_nodes, kColumnNodes) : 0;
  launch(add_kernel<T>, grid_of(weight_blocks + net.table.block_count * column_blocks), dim3(kThreads), 0, stream, net,
         grad, parts, targets, static_cast<std::int32_t>(part_count), static_cast<std::int32_t>(weight_blocks),
         static_cast<std::int32_t>(column_blocks));
}

/// Calls body(T, N, E): hidden units in a thread's registers and its edges. float64 is for tests.
template <class Body>
void dispatch(const EditHead& a, const Body& body) {
  const std::int64_t h = a.weight.extent(0);
  using std::integral_constant;
  dispatch_float("edit_head", a.edge.dtype(), [&](auto zero) {
    if constexpr (std::is_same_v<decltype(zero), double>)
      body(zero, integral_constant<int, 16>(), integral_constant<int, 1>());
    else if (h <= 16)
      body(zero, integral_constant<int, 16>(), integral_constant<int, 2>());
    else
      body(zero, integral_constant<int, 32>(), integral_constant<int, 2>());
  });
}

}  // namespace

void edit_head_forward(const EditHead& args, Stream stream) {
  validate(args);
  dispatch(args, [&](auto zero, auto n, auto e) { forward<decltype(zero), n.value, e.value>(args, stream); });
}

void edit_head_backward(const EditHeadGradient& args, Stream stream) {
  validate(args);
  dispatch(args.forward, [&](auto zero, auto n, auto e) { backward<decltype(zero), n.value, e.value>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
