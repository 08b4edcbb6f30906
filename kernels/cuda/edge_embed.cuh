#pragma once

// States from features, W f + b: a warp forms the features of some edges, a lane those of one, and takes 32 channels at
// a time, a lane one of them for all the edges: four features are read at once, for all lanes the same. A state has the
// same bits wherever it is formed.

#include "kernels/cuda/edge_input.cuh"
#include "kernels/edge_embed.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// Sizes, features, W and b.
template <class T>
struct Embedding {
  BlockTable table;
  EdgeSource<T> source;
  std::int32_t d = 0, width = 0, quads = 0,
               stride = 0;  // quads: of features that are multiplied; stride: of their rows
  const T *weight = nullptr, *bias = nullptr;

  Embedding() = default;
  /// `more` features beside those of the source.
  Embedding(const EdgeEmbed& a, std::int32_t more)
      : table(a.table),
        source(a.input),
        d(static_cast<std::int32_t>(a.weight.extent(0))),
        width(source.width),
        quads(quads_of(width + more)),
        stride(row_stride(width + more)),
        weight(a.weight.as<T>()),
        bias(a.bias.as<T>()) {}

  /// Elements of the weights' copy in shared memory.
  __host__ __device__ std::int32_t weights() const { return 4 * quads * d; }
  /// Makes that copy, transposed, (4 quads, d): all threads of the block call it, and a barrier has to follow.
  __device__ void load(T* weights_copy) const {
    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < weights();
         i += static_cast<std::int32_t>(blockDim.x)) {
      const std::int32_t l = i / d;
      weights_copy[i] = l < width ? weight[(i - l * d) * width + l] : T(0);
    }
  }
  /// The features of edge `edge` to row[0 .. width), zeros up to whole quads. `block` is one at or before its own.
  __device__ void form(std::int64_t edge, std::int32_t block, T* row) const {
    source.form(edge, find_ends(table, edge, block), row);
    for (std::int32_t l = width; l < 4 * quads; ++l) row[l] = T(0);
  }
};

/// write(e, channel, state) for Edges edges by a warp, whose features form(e, row) puts into its part of the shared
/// memory, `rows`; of what is not formed the states are nobody's.
template <int Edges, class T, class Form, class Write>
__device__ __forceinline__ void embed_edges(const Embedding<T>& net, const T* weights, T* rows, const Form& form,
                                            const Write& write) {
  static_assert(Edges <= kWarp);
  const auto lane = static_cast<std::int32_t>(threadIdx.x % kWarp);
  if (lane < Edges) form(lane, rows + lane * net.stride);
  __syncwarp();
  for (std::int32_t n = lane; n < net.d; n += kWarp) {
    T sum[Edges];
#pragma unroll
    for (int e = 0; e < Edges; ++e) sum[e] = net.bias[n];
#pragma unroll 1
    for (std::int32_t l = 0; l < 4 * net.quads; l += 4) {
      T w[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) w[j] = weights[(l + j) * net.d + n];
#pragma unroll
      for (int e = 0; e < Edges; ++e) {
        const Quad<T> f = load_quad(rows + e * net.stride + l);
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[e] += f.value[j] * w[j];
      }
    }
#pragma unroll
    for (int e = 0; e < Edges; ++e) write(e, n, sum[e]);
  }
  __syncwarp();  // the next features take the place of these
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
