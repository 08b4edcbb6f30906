#pragma once

// What both passes of edit_head share: its inputs, where its weights lie in shared memory, its first hidden layer.

#include <cstdint>

#include "kernels/cuda/edge_input.cuh"
#include "kernels/edit_head.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// Sizes and inputs. Hidden units are padded to whole chunks of N; the pads are 0.
template <class T>
struct Head {
  BlockTable table;
  std::int32_t d, d2, in, h, outputs;
  std::int32_t hidden;  // h with its pads
  EdgeSource<T> edge, edge2;
  const T *weight, *weight2, *projection, *kind_bias, *mix, *head, *head_bias;
  bool aligned;  // projections can be read four at a time

  Head(const EditHead& a, std::int32_t chunk)
      : table(a.table),
        d(static_cast<std::int32_t>(a.edge.width())),
        d2(static_cast<std::int32_t>(a.edge2.width())),
        in(d + d2),
        h(static_cast<std::int32_t>(a.weight.extent(0))),
        outputs(static_cast<std::int32_t>(a.out.extent(1))),
        hidden(static_cast<std::int32_t>(ceil_div(h, chunk)) * chunk),
        edge(a.edge),
        edge2(a.edge2),
        weight(a.weight.as<T>()),
        weight2(a.edge2 ? a.weight2.as<T>() : nullptr),
        projection(a.projection.as<T>()),
        kind_bias(a.kind_bias.as<T>()),
        mix(elements<T>(a.mix)),
        head(a.head.as<T>()),
        head_bias(a.head_bias.as<T>()),
        aligned(h % 4 == 0 && reinterpret_cast<std::uintptr_t>(projection) % 16 == 0) {}

  /// What `count` edges from `first` on read becomes rows of a tile, by `threads` threads; features follow with `form`.
  __device__ void stage(std::int64_t first, std::int32_t count, T* tile, std::int32_t stride, std::int32_t thread,
                        std::int32_t threads) const {
    edge.stage(first, count, tile, stride, thread, threads);
    edge2.stage(first, count, tile + d, stride, thread, threads);
  }
  __device__ bool forms() const { return edge.forms() || edge2.forms(); }
  __device__ void form(std::int64_t at, const EdgeEnds& ends, T* row) const {
    edge.form(at, ends, row);
    edge2.form(at, ends, row + d);
  }

  /// Output rows of a kind in shared memory: whole quads.
  std::int32_t output_rows() const { return 4 * quads_of(outputs); }
};

/// Where what both passes read lies in shared memory, in elements; -1: not there.
struct HeadLayout {
  bool resident = true;  // all matrices have copies
  std::int32_t edge_matrix = -1, mix = -1, mix_back = -1, edge_back = -1, slab = 0, head = 0, kind_bias = 0,
               head_bias = 0;
  std::int32_t total = 0;

  std::int32_t take(std::int64_t count) {
    const std::int32_t at = total;
    total += 4 * quads_of(count);
    return at;
  }

  /// N: hidden units that a thread has in registers. `backward`: mix and, if `edge_gradient`, the edge matrix once more
  /// the other way round.
  template <class T, int N>
  HeadLayout(const Head<T>& net, std::integral_constant<int, N>, bool keep_resident, bool backward, bool edge_gradient)
      : resident(keep_resident) {
    if (resident) {
      edge_matrix = take(Factor<T>::room(net.in, net.hidden));
      if (net.mix) mix = take(Factor<T>::room(net.h, net.hidden));
      if (net.mix && backward) mix_back = take(Factor<T>::room(net.h, net.hidden));
      if (edge_gradient) edge_back = take(Factor<T>::room(net.h, ceil_div(net.in, N) * N));
    } else {
      slab = take(std::int64_t{kSlabDepth} * N);
    }
    head = take(std::int64_t{kBlockKinds} * net.output_rows() * net.hidden);
    kind_bias = take(std::int64_t{kBlockKinds} * net.hidden);
    head_bias = take(std::int64_t{kBlockKinds} * net.outputs);
  }
};

/// The weights as a thread block sees them.
template <class T, int N>
struct HeadWeights {
  const T *head, *kind_bias, *head_bias;  // (kinds, output rows, hidden), (kinds, hidden), (kinds, outputs)
  T* slab;
  Factor<T> edge_matrix, mix, mix_back, edge_back;
  std::int32_t output_rows;

  /// Loads them; to be followed by a barrier.
  __device__ HeadWeights(const Head<T>& net, const HeadLayout& layout, T* memory) {
    const auto copy = [&](std::int32_t at) { return at < 0 ? nullptr : memory + at; };
    const std::int32_t d = net.d, d2 = net.d2, h = net.h, in_row = (net.in + N - 1) / N * N;
    slab = memory + layout.slab;
    edge_matrix = {{net.weight, 1, d}, {net.weight2, 1, d2}, d, true, net.in, h, copy(layout.edge_matrix), net.hidden};
    mix = {{net.mix, 1, h}, {}, h, true, h, h, copy(layout.mix), net.hidden};
    mix_back = {{net.mix, h, 1}, {}, h, true, h, h, copy(layout.mix_back), net.hidden};
    edge_back = {{net.weight, d, 1}, {net.weight2, d2, 1}, d, false, h, net.in, copy(layout.edge_back), in_row};
    for (const Factor<T>* factor : {&edge_matrix, &mix, &mix_back, &edge_back})
      if (factor->shared) factor->load();
    output_rows = 4 * quads_of(net.outputs);
    T *to_head = memory + layout.head, *to_kind = memory + layout.kind_bias, *to_bias = memory + layout.head_bias;
    const auto thread = static_cast<std::int32_t>(threadIdx.x), threads = static_cast<std::int32_t>(blockDim.x);
    for (std::int32_t i = thread; i < kBlockKinds * output_rows * net.hidden; i += threads) {
      const std::int32_t unit = i % net.hidden, row = i / net.hidden, kind = row / output_rows, o = row % output_rows;
      to_head[i] = unit < h && o < net.outputs ? net.head[(kind * net.outputs + o) * h + unit] : T(0);
    }
    for (std::int32_t i = thread; i < kBlockKinds * net.hidden; i += threads)
      to_kind[i] = i % net.hidden < h ? net.kind_bias[i / net.hidden * h + i % net.hidden] : T(0);
    for (std::int32_t i = thread; i < kBlockKinds * net.outputs; i += threads) to_bias[i] = net.head_bias[i];
    head = to_head;
    kind_bias = to_kind;
    head_bias = to_bias;
  }
};

/// Through the read-only path: many edges read the same projections.
template <class T>
__device__ __forceinline__ T read_only(const T* from) {
#ifdef __CUDA_ARCH__
  return __ldg(from);
#else
  return *from;
#endif
}
__device__ __forceinline__ Quad<float> read_only_quad(const float* from) {
#ifdef __CUDA_ARCH__
  const float4 quad = __ldg(reinterpret_cast<const float4*>(from));
  return {{quad.x, quad.y, quad.z, quad.w}};
#else
  return load_quad(from);
#endif
}
__device__ __forceinline__ Quad<double> read_only_quad(const double* from) { return load_quad(from); }

/// hidden[n] = kind_bias + u + v of units chunk * N + n.
template <int N, class T>
__device__ __forceinline__ void start_hidden(const Head<T>& net, const T* kind_bias, const EdgeEnds& ends,
                                             std::int32_t chunk, T* hidden) {
  const std::int32_t first = chunk * N;
  const T* bias = kind_bias + (ends.kind < 0 ? 0 : ends.kind) * net.hidden + first;
  const T *u = net.projection + ends.target * 2 * net.h + first,
          *v = net.projection + ends.source * 2 * net.h + net.h + first;
#pragma unroll
  for (int n = 0; n < N; n += 4) {
    const Quad<T> b = load_quad(bias + n);
    Quad<T> ui{}, vj{};
    if (ends.kind >= 0) {
      if (net.aligned) {
        if (first + n < net.h) {
          ui = read_only_quad(u + n);
          vj = read_only_quad(v + n);
        }
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (first + n + i < net.h) {
            ui.value[i] = read_only(u + n + i);
            vj.value[i] = read_only(v + n + i);
          }
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) hidden[n + i] = b.value[i] + ui.value[i] + vj.value[i];
  }
}

/// The two hidden layers of a thread's edges, whose inputs are rows of a tile in shared memory, E of them `step` apart.
/// The last layer is given to last(chunk, values[E][N]); the first one, if it is not the last, is written to
/// `first_row`, which may be the inputs' place when there is one chunk.
template <int N, int E, class T, class Last>
__device__ __forceinline__ void run_hidden(const Head<T>& net, const HeadWeights<T, N>& weights,
                                           const EdgeEnds (&ends)[E], const T* row, std::int32_t step, T* first_row,
                                           std::int32_t first_step, const Last& last) {
  const std::int32_t chunks = net.hidden / N;
#pragma unroll 1
  for (std::int32_t chunk = 0; chunk < chunks; ++chunk) {
    T value[E][N];
#pragma unroll
    for (int e = 0; e < E; ++e) start_hidden<N>(net, weights.kind_bias, ends[e], chunk, value[e]);
    multiply<N, E>(weights.edge_matrix, chunk, row, step, weights.slab, ends[0].kind >= 0, value);
#pragma unroll
    for (int e = 0; e < E; ++e)
#pragma unroll
      for (int n = 0; n < N; ++n) value[e][n] = value[e][n] > T(0) ? value[e][n] : T(0);
    if (!net.mix) {
      last(chunk, value);
      continue;
    }
#pragma unroll
    for (int e = 0; e < E; ++e)
#pragma unroll
      for (int n = 0; n < N; n += 4) store_quad(first_row + e * first_step + chunk * N + n, value[e] + n);
  }
  if (!net.mix) return;
#pragma unroll 1
  for (std::int32_t chunk = 0; chunk < chunks; ++chunk) {
    T value[E][N] = {};
    multiply<N, E>(weights.mix, chunk, first_row, first_step, weights.slab, ends[0].kind >= 0, value);
#pragma unroll
    for (int e = 0; e < E; ++e)
#pragma unroll
      for (int n = 0; n < N; ++n) value[e][n] = value[e][n] > T(0) ? value[e][n] : T(0);
    last(chunk, value);
  }
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
