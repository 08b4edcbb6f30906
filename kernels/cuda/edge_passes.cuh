#pragma once

// The launches of a pass of the message layer. Each precision is compiled in its own file of edge_update/.

#include <algorithm>

#include "kernels/cuda/edge_backward.cuh"
#include "kernels/edge_update.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// Thread blocks of a kernel that keeps sums over its items at most: a prime, so that blocks of every shape in a
/// repeating batch are spread evenly, just below two for each of 132 multiprocessors.
inline constexpr std::int64_t kLastingBlocks = 263;

template <class T, int D, Precision P>
using Stored = typename EdgeProduct<T, D, P>::Stored;

/// What both passes start from; row and column partial sums are of `width` elements, `kept` is of all thread blocks.
template <class S, class T, int D, Precision P>
EdgeForward<S, T, D, P> common_arguments(const EdgeUpdate& e, std::int64_t width, std::int64_t kept,
                                         WorkspaceLayout& layout) {
  return {.table = e.table,
          .plan = take_plan(layout, e.table),
          .edge = e.edge.as<S>(),
          .projection = e.projection.as<T>(),
          .modulation = e.modulation.as<T>(),
          .matrices = layout.take<Stored<T, D, P>>(kEdgeMatrices * D * D),
          .edge_out = e.edge_out.as<S>(),
          .aggregate = e.aggregate.as<T>(),
          .row_partial = layout.take<T>(max_partial_rows(e.table) * width),
          .column_partial = layout.take<T>(max_partial_columns(e.table) * width),
          .kept = layout.take<T>(kept)};
}

template <class S, class T, int D, Precision P>
void prepare(const EdgeUpdate& e, const EdgeForward<S, T, D, P>& a, Stream stream) {
  launch(plan_kernel<kThreads>, dim3(1), dim3(kThreads), 0, stream, e.table, a.plan);
  prepare_matrices<T, D, P>(e.weight_c.as<T>(), e.weight_g.as<T>(), a.matrices, stream);
}

/// The kernel of a pass for a device.
template <class Arguments>
struct EdgeKernel {
  void (*kernel)(Arguments);
  std::size_t shared_bytes;
  std::int64_t kept;  // elements of a thread block in EdgeForward::kept
};

template <class S, class T, int D, Precision P>
EdgeKernel<EdgeForward<S, T, D, P>> choose_forward(Stream stream) {
  return dispatch_footprint<kForwardBytes<T, D, P>>(stream, [](auto footprint) -> EdgeKernel<EdgeForward<S, T, D, P>> {
    constexpr Footprint F = decltype(footprint)::value;
    static_assert(kForwardBytes<T, D, P, F> <= static_cast<std::size_t>(F));
    return {edge_update_forward_kernel<S, T, D, P, F>, kForwardBytes<T, D, P, F>, EdgeForwardShared<T, D, P, F>::kKept};
  });
}

template <class T, int D, Precision P>
EdgeKernel<EdgeBackward<T, D, P>> choose_backward(Stream stream) {
  constexpr std::size_t kRoomy = EdgeBackwardPass<T, D, P, Footprint::roomy>::kSharedBytes;
  return dispatch_footprint<kRoomy>(stream, [](auto footprint) -> EdgeKernel<EdgeBackward<T, D, P>> {
    constexpr Footprint F = decltype(footprint)::value;
    using Pass = EdgeBackwardPass<T, D, P, F>;
    static_assert(Pass::kSharedBytes <= static_cast<std::size_t>(F));
    return {edge_update_backward_kernel<T, D, P, F>, Pass::kSharedBytes, std::int64_t{Pass::kKept} * kThreads};
  });
}

template <class S, class T, int D, Precision P>
void edge_forward(const EdgeUpdate& e, Stream stream) {
  const auto pass = choose_forward<S, T, D, P>(stream);
  const std::int64_t items = usual_items(e.table), blocks = pass.kept > 0 ? std::min(kLastingBlocks, items) : items;
  const auto a = in_workspace(
      stream, [&](WorkspaceLayout& layout) { return common_arguments<S, T, D, P>(e, D, blocks * pass.kept, layout); });
  prepare(e, a, stream);
  launch(pass.kernel, grid_of(blocks), dim3(kThreads), pass.shared_bytes, stream, a);
  T* aggregate = a.aggregate;
  add_partials(
      e.table, a.plan, a.row_partial, a.column_partial, D, stream,
      [=] __device__(std::int64_t node, std::int64_t channel, T sum, const Block& block) {
        aggregate[node * 2 * D + channel] = sum / static_cast<T>(block.cols);
      },
      [=] __device__(std::int64_t node, std::int64_t channel, T sum, const Block& block) {
        aggregate[node * 2 * D + D + channel] = sum / static_cast<T>(block.rows);
      });
}

template <class T, int D, Precision P>
void edge_backward(const EdgeUpdateGradient& g, Stream stream) {
  const auto pass = choose_backward<T, D, P>(stream);
  const EdgeUpdate& e = g.forward;
  const BlockTable& table = e.table;
  const std::int64_t blocks = std::min(kLastingBlocks, usual_items(table));
  const auto a = in_workspace(stream, [&](WorkspaceLayout& layout) -> EdgeBackward<T, D, P> {
    return {.forward = common_arguments<T, T, D, P>(e, 2 * D, blocks * pass.kept, layout),
            .grad_edge_out = elements<T>(g.grad_edge_out),
            .grad_aggregate = elements<T>(g.grad_aggregate),
            .weight_g = e.weight_g.as<T>(),
            .grad_edge = elements<T>(g.grad_edge),
            .grad_projection = g.grad_projection.as<T>(),
            .weight_partial = layout.take<T>(blocks * 2 * D * D),
            .modulation_partial = layout.take<T>(max_items(table) * 3 * D)};
  });
  prepare(e, a.forward, stream);
  launch(pass.kernel, grid_of(blocks), dim3(kThreads), pass.shared_bytes, stream, a);
  T* grad_projection = a.grad_projection;
  const std::int64_t known = a.grad_aggregate ? 2 * D : D;  // without it the gradients of t and s are zero
  add_partials(
      table, a.forward.plan, a.forward.row_partial, a.forward.column_partial, 2 * D, stream,
      [=] __device__(std::int64_t node, std::int64_t i, T sum, const Block&) {
        if (i < known) grad_projection[node * 4 * D + (i < D ? i : 2 * D + i)] += sum;
      },
      [=] __device__(std::int64_t node, std::int64_t i, T sum, const Block&) {
        if (i < known) grad_projection[node * 4 * D + D + i] += sum;
      });
  const T *weights = a.weight_partial, *modulations = a.modulation_partial;
  T *grad_c = g.grad_weight_c.as<T>(), *grad_g = g.grad_weight_g.as<T>();
  for_elements(2 * D * D, stream, [=] __device__(std::int64_t i) {
    T sum = T(0);
    for (std::int64_t block = 0; block < blocks; ++block) sum += weights[block * 2 * D * D + i];
    (i < D * D ? grad_c[i] : grad_g[i - D * D]) += sum;
  });
  const EdgePlan plan = a.forward.plan;
  T* grad_modulation = g.grad_modulation.as<T>();
  for_elements(std::int64_t{table.network_count} * 3 * D, stream, [=] __device__(std::int64_t i) {
    const std::int64_t network = i / (3 * D), column = i - network * 3 * D;
    const Network& own = table.network[network];
    T sum = T(0);
    for (std::int64_t item = plan.item_first[own.first_block];
         item < plan.item_first[own.first_block + own.block_count]; ++item)
      sum += modulations[item * 3 * D + column];
    grad_modulation[i] += sum;
  });
}

/// Calls body(D) with the number of channels as a type.
template <int Largest, class Body>
void dispatch_channels(std::int64_t channels, const Body& body) {
  switch (channels) {
    case 16: return body(std::integral_constant<int, 16>());
    case 32: return body(std::integral_constant<int, 32>());
    default: break;
  }
  if constexpr (Largest > 32) switch (channels) {
      case 64: return body(std::integral_constant<int, 64>());
      case 128: return body(std::integral_constant<int, 128>());
      default: break;
    }
  fail("edge_update", "expected 16, 32, 64 or 128 channels on a CUDA device (float64: 16 or 32), got ", channels);
}

/// Float64 is for tests: few widths.
template <class T>
inline constexpr int kLargestWidth = sizeof(T) == 4 ? 128 : 32;

template <class S, class T, Precision P>
void run_edge_forward(const EdgeUpdate& args, Stream stream) {
  dispatch_channels<kLargestWidth<T>>(args.edge.extent(1),
                                      [&](auto width) { edge_forward<S, T, decltype(width)::value, P>(args, stream); });
}

template <class T, Precision P>
void run_edge_backward(const EdgeUpdateGradient& args, Stream stream) {
  dispatch_channels<kLargestWidth<T>>(args.forward.edge.extent(1),
                                      [&](auto width) { edge_backward<T, decltype(width)::value, P>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
