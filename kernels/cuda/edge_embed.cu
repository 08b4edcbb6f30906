// out = W f + b of the features f of an edge, in plain float32.
//
// Bytes an edge: 4 (3 + D) for the 15 features of the first pass, 12 + 2 D when states are stored as bf16; backward 4
// (3 + D). Features stay in shared memory. Operations: 30 D forward and 32 D backward, and each time 6 logarithms of
// about 30 each: with 32 channels, and where a byte takes the time of 20 operations, memory is the limit of both.
//
// Forward: a warp does 32 neighbours at a time (edge_embed.cuh). A state is written side by side.
//
// Backward: a thread block has a run of edges and goes over it in tiles; it keeps the sums in shared memory, and a
// second launch adds those of all blocks in order. The number of runs depends on the number of edges.
#include "kernels/edge_embed.hpp"

#include "kernels/cuda/edge_embed.cuh"
#include "kernels/feature_arguments.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr std::int64_t kBlocks = 2048;  // of a launch at most: each loads the weights once
constexpr int kBackwardThreads = 128;
constexpr std::int32_t kBackwardEdges = 64;  // of a tile
constexpr std::int64_t kPartEdges = 1024, kMaxParts = 2048;

/// S: the type of the states in memory.
template <class T, class S>
__global__ void __launch_bounds__(kThreads, 2) forward_kernel(const __grid_constant__ Embedding<T> net, S* out) {
  constexpr std::int32_t kWarps = kThreads / kWarp;
  T* weights = dynamic_shared_memory<T>();
  T* rows = weights + net.weights() + static_cast<std::int32_t>(threadIdx.x) / kWarp * kWarp * net.stride;
  net.load(weights);
  __syncthreads();
  const std::int64_t edges = net.table.edge_count, step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t first = (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp) * kWarp; first < edges;
       first += step) {
    const std::int32_t count = edges - first < kWarp ? static_cast<std::int32_t>(edges - first) : kWarp;
    embed_edges<kWarp>(
        net, weights, rows,
        [&](std::int32_t e, T* row) {
          if (e < count) net.form(first + e, segment_of(net.table.block_edges, first), row);
        },
        [&](std::int32_t e, std::int32_t n, T state) {
          if (e < count) out[(first + e) * net.d + n] = static_cast<S>(state);
        });
  }
}

template <class T, class S>
void forward(const EdgeEmbed& a, Stream stream) {
  const Embedding<T> net(a, 0);
  const std::int64_t room = net.weights() + std::int64_t{kThreads} * net.stride,
                     tiles = ceil_div(a.table.edge_count, kThreads);
  launch(forward_kernel<T, S>, grid_of(tiles < kBlocks ? tiles : kBlocks), dim3(kThreads),
         static_cast<std::size_t>(room) * sizeof(T), stream, net, a.out.as<S>());
}

/// partial (parts, d, width + 1): behind a row of the weights' gradient the bias's.
template <class T>
__global__ void __launch_bounds__(kBackwardThreads)
    backward_kernel(const __grid_constant__ Embedding<T> net, const T* grad_out, std::int32_t grad_stride, T* partial) {
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t columns = 4 * net.quads, rows = 4 * quads_of(net.d);
  T* sums = dynamic_shared_memory<T>();  // (rows, columns)
  T *feature = sums + rows * columns, *grad = feature + kBackwardEdges * net.stride;
  for (std::int32_t i = thread; i < rows * columns; i += kBackwardThreads) sums[i] = T(0);
  const std::int64_t edges = net.table.edge_count, begin = edges * blockIdx.x / gridDim.x,
                     end = edges * (blockIdx.x + 1) / gridDim.x;
  for (std::int64_t first = begin; first < end; first += kBackwardEdges) {
    const std::int32_t count = end - first < kBackwardEdges ? static_cast<std::int32_t>(end - first) : kBackwardEdges;
    __syncthreads();  // the tile before is done
    stage_rows(grad_out + first * net.d, count, net.d, grad, grad_stride, thread, kBackwardThreads);
    if (thread < count) {
      T* row = feature + thread * net.stride;
      net.form(first + thread, segment_of(net.table.block_edges, first), row);
      row[net.width] = T(1);  // the bias
      for (std::int32_t i = net.d; i < rows; ++i) grad[thread * grad_stride + i] = T(0);
    }
    __syncthreads();
    add_products(grad, grad_stride, quads_of(net.d), feature, net.stride, net.quads, count,
                 [&](std::int32_t i, std::int32_t l, T sum) { sums[i * columns + l] += sum; });
  }
  __syncthreads();
  T* own = partial + std::int64_t{blockIdx.x} * net.d * (net.width + 1);
  for (std::int32_t i = thread; i < net.d * (net.width + 1); i += kBackwardThreads)
    own[i] = sums[i / (net.width + 1) * columns + i % (net.width + 1)];
}

template <class T>
void backward(const EdgeEmbedGradient& g, Stream stream) {
  const EdgeEmbed& a = g.forward;
  const std::int64_t edges = a.table.edge_count;
  if (edges == 0) return;
  const Embedding<T> net(a, 1);
  const std::int32_t grad_stride = row_stride(net.d);
  const std::int64_t parts = ceil_div(edges, kPartEdges) < kMaxParts ? ceil_div(edges, kPartEdges) : kMaxParts,
                     width = net.width, total = net.d * (width + 1),
                     room = std::int64_t{16} * net.quads * quads_of(net.d) +
                            std::int64_t{kBackwardEdges} * (net.stride + grad_stride);
  T* partial = workspace<T>(stream, parts * total);
  launch(backward_kernel<T>, grid_of(parts), dim3(kBackwardThreads), static_cast<std::size_t>(room) * sizeof(T), stream,
         net, g.grad_out.as<T>(), grad_stride, partial);
  T *grad_weight = g.grad_weight.as<T>(), *grad_bias = g.grad_bias.as<T>();
  for_elements(total, stream, [=] __device__(std::int64_t i) {
    T sum = T(0);
    for (std::int64_t p = 0; p < parts; ++p) sum += partial[p * total + i];
    const std::int64_t row = i / (width + 1), column = i - row * (width + 1);
    (column < width ? grad_weight[row * width + column] : grad_bias[row]) += sum;
  });
}

}  // namespace

void edge_embed_forward(const EdgeEmbed& args, Stream stream) {
  validate(args);
  if (args.out.dtype == DType::bfloat16) return forward<float, BFloat16>(args, stream);
  dispatch_float("edge_embed", args.input.dtype(),
                 [&](auto zero) { forward<decltype(zero), decltype(zero)>(args, stream); });
}

void edge_embed_backward(const EdgeEmbedGradient& args, Stream stream) {
  validate(args);
  dispatch_float("edge_embed", args.forward.input.dtype(), [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
