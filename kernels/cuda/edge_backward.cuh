#pragma once

// The backward kernel of the message layer. With out = grad e' and the gradients of f and r:
//
//   grad g  = (alpha out) G + grad f_i s_j / cols + grad r_j t_i / rows
//   pre     = grad g silu'(gamma x + beta)         grad gamma = sum pre x        grad beta  = sum pre
//   grad z  = layer norm's gradient of pre gamma   grad u, v  = sums of grad z   grad e    += out + grad z C
//   grad s  = sum grad f_i g / cols                grad t     = sum grad r_j g / rows
//   grad C += sum grad z e^T                       grad G    += P, with P = sum (alpha out) g^T of one network's edges
//
// As grad alpha_i = sum out_i (G g)_i = sum_j G_ij P_ij / alpha_i, the product G g is not needed again.

#include "kernels/cuda/edge_forward.cuh"
#include "kernels/edge_update.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

template <class T, int D, Precision P>
struct EdgeBackward {
  EdgeForward<T, T, D, P> forward;
  const T *grad_edge_out, *grad_aggregate;  // or null
  const T* weight_g;                        // (D, D)
  T *grad_edge, *grad_projection;           // grad_edge: null or, in place, grad_edge_out
  T* weight_partial;                        // (thread blocks, 2, D, D): of C and G
  T* modulation_partial;                    // (items, 3 D)
};

template <class T, int D, Precision P, Footprint F>
struct EdgeBackwardPass {
  using Product = EdgeProduct<T, D, P>;
  using Word = typename Product::Word;
  static constexpr bool kTight = F == Footprint::tight;
  using Matrices = BlockMatrices<T, D, P, kToState, kEdgeMatrices - kToState, !kTight>;
  // What does not fit the registers of a thread: column sums in shared memory where there is room, and those of gamma,
  // beta and alpha; the sums of the weights' gradients, and the normalised state while the products around g run, in
  // memory. The tight plan has the matrices in memory, column sums and, of 128 channels, the second tile: products in
  // tf32 that read matrices there leave few registers.
  static constexpr bool kColumnsInMemory = D >= 64,
                        kColumnsShared = !kTight && D == 64 && sizeof(typename Product::Stored) == 2,
                        kTileInMemory = kTight && D > 64, kCrowded = D > 64 || (kTight && P == Precision::tf32),
                        kWeightsInMemory = kCrowded || (D == 64 && Product::kFromTile), kNormalInMemory = kCrowded;
  static constexpr int kSumsAtOnce = kWeightsInMemory ? 1 : Product::kSums;  // those in registers have fixed places
  static constexpr int kColumnSums = D;                                      // of a thread: v and s of two slots
  __device__ static constexpr int column(int which, int half, int c) { return which * D / 2 + half * D / 4 + c; }
  static constexpr int kKeptColumns = kColumnsInMemory && !kColumnsShared ? kColumnSums : 0;
  static constexpr int kKeptWeights = kWeightsInMemory ? Product::kSums : 0;
  static constexpr int kKeptNormal = kNormalInMemory ? D / 2 : 0;
  static constexpr std::size_t kOneTile = sizeof(Word) * Product::kTileWords;
  static constexpr int kKeptTile = kTileInMemory ? static_cast<int>(kOneTile / (sizeof(T) * kThreads)) : 0;
  static_assert(!kTileInMemory || kOneTile % (sizeof(T) * kThreads) == 0);
  static constexpr int kKept = kKeptColumns + 2 * kKeptWeights + kKeptNormal + kKeptTile;  // (kKept, threads)
  static constexpr std::size_t kTileBytes = kTileInMemory ? kOneTile : 2 * kOneTile,
                               kColumnBytes = sizeof(T) * RowTile<T, D>::kElements;

  struct Shared {
    alignas(16) unsigned char tiles[kTileBytes > kColumnBytes ? kTileBytes : kColumnBytes];  // then column sums
    T row_sums[2][kEdgeWarps * D];                                                           // gradients of u and t
    T network_sums[3][kEdgeWarps * D];                                                       // of gamma, beta, alpha
    alignas(16) T modulation[3 * D];
    EdgeItem item;  // what does not change over an item: here, not in registers
    SlotLayout layout;
    T per_row, per_col;
    T columns[kColumnsShared ? kColumnSums * kThreads : 1];
  };
  static constexpr std::size_t kSharedBytes = Matrices::kBytes + sizeof(Shared);
};

/// x, of which the compiler knows nothing: what follows from it is formed where it is needed, not kept in registers
/// across a loop.
__device__ __forceinline__ int not_known(int x) {
#ifdef __CUDACC__
  asm volatile("" : "+r"(x));
#endif
  return x;
}

/// sums += the outer products of two tiles; many sums are done in several passes over the tiles.
template <class Product, class T, class Sums, class Word>
__device__ __forceinline__ void add_outer_products(const Word* a, const Word* b, int warps, Sums& sums) {
  constexpr int kPassSums = Product::kSums / Product::kPasses;
#pragma unroll 1
  for (int pass = 0; pass < Product::kPasses; ++pass) {
    T sum[kPassSums];
#pragma unroll
    for (int i = 0; i < kPassSums; ++i) sum[i] = sums[pass * kPassSums + i];
    Product::add_outer(a, b, warps, pass, sum);
#pragma unroll
    for (int i = 0; i < kPassSums; ++i) sums[pass * kPassSums + i] = sum[i];
  }
}

/// sum[channel] += the sum over the warp's slots of term(half, c).
template <int D, class T, class Term>
__device__ __forceinline__ void add_network(T* sum, const LanePlace& at, const Term& term) {
  Channels<T, D> value;
#pragma unroll
  for (int c = 0; c < D / 4; ++c) value[c] = term(0, c) + term(1, c);
  SpreadSum<D>::run(value);
#pragma unroll
  for (int k = 0; k < SpreadSum<D>::kKept; ++k)
    if (SpreadSum<D>::writes(at.g)) sum[at.channel(SpreadSum<D>::first(at.g) + k)] += value[k];
}

/// All items of a thread block.
template <class T, int D, Precision P, Footprint F>
__device__ __forceinline__ void edge_update_backward_items(const EdgeBackward<T, D, P>& a) {
  using Pass = EdgeBackwardPass<T, D, P, F>;
  using Product = EdgeProduct<T, D, P>;
  using Word = typename Product::Word;
  constexpr int kEach = D / 4;
  const EdgeForward<T, T, D, P>& in = a.forward;
  unsigned char* memory = dynamic_shared_memory<unsigned char>();
  const typename Pass::Matrices matrix(in.matrices, memory);
  typename Pass::Shared& shared = *reinterpret_cast<typename Pass::Shared*>(memory + Pass::Matrices::kBytes);
  const LanePlace at;
  T* kept = in.kept + std::int64_t{blockIdx.x} * Pass::kKept * kThreads;
  Word* tile0 = reinterpret_cast<Word*>(shared.tiles);
  Word* tile1 = Pass::kTileInMemory ? reinterpret_cast<Word*>(kept + (Pass::kKept - Pass::kKeptTile) * kThreads)
                                    : tile0 + Product::kTileWords;
  KeptSums<T, Pass::kColumnSums, Pass::kColumnsInMemory> column(Pass::kColumnsShared ? shared.columns
                                                                                     : kept);  // of v, s
  KeptSums<T, Product::kSums, Pass::kWeightsInMemory> weight_c(kept + Pass::kKeptColumns * kThreads),
      weight_g(kept + (Pass::kKeptColumns + Pass::kKeptWeights) * kThreads);
  KeptSums<T, D / 2, Pass::kNormalInMemory> kept_normal(kept +
                                                        (Pass::kKeptColumns + 2 * Pass::kKeptWeights) * kThreads);
#pragma unroll(Pass::kSumsAtOnce)
  for (int i = 0; i < Product::kSums; ++i) weight_c[i] = T(0);
  // Calls body(i, to) for the sums of a thread in the gradient of C (which = 0) or G (1), `to` being the thread block's
  // partial sum in memory.
  const auto for_sums = [&](int thread, int which, const auto& body) {
    T* partial = a.weight_partial + (std::int64_t{blockIdx.x} * 2 + which) * D * D;
#pragma unroll(Pass::kSumsAtOnce)
    for (int i = 0; i < Product::kSums; ++i) {
      int row, col;
      if (Product::place_of_sum(thread, i, &row, &col)) body(i, partial[row * D + col]);
    }
  };
  const std::int32_t items = in.plan.item_first[in.table.block_count];
  for (std::int32_t index = static_cast<std::int32_t>(blockIdx.x); index < items;
       index += static_cast<std::int32_t>(gridDim.x)) {
    __syncthreads();  // the item before is done with the shared memory
    if (threadIdx.x == 0) {
      shared.item = edge_item(in.table, in.plan, index);
      shared.layout = SlotLayout(shared.item.cols);
      shared.per_row = T(1) / static_cast<T>(shared.item.block.cols);
      shared.per_col = T(1) / static_cast<T>(shared.item.block.rows);
    }
    for (int i = static_cast<int>(threadIdx.x); i < 3 * kEdgeWarps * D; i += kThreads)
      (&shared.network_sums[0][0])[i] = T(0);
    __syncthreads();
    const EdgeItem& item = shared.item;
    const SlotLayout& layout = shared.layout;
    for (int i = static_cast<int>(threadIdx.x); i < 3 * D; i += kThreads) {
      const T x = in.modulation[std::int64_t{item.block.network} * 3 * D + i];
      shared.modulation[i] = i < 2 * D ? x : divisible_step(x);
    }
    __syncthreads();
    // The gradients of u (which = 0) and t (1) of a row.
    const auto row_place = [&](int which, std::int32_t row) -> SumPlace<T> {
      if (row >= item.rows) return {};
      if (item.row_partial >= 0) return {in.row_partial + (item.row_partial + row) * 2 * D + which * D, false, T(1)};
      return {a.grad_projection + item.target(row) * 4 * D + 3 * which * D, true, T(1)};
    };
#pragma unroll
    for (int i = 0; i < Pass::kColumnSums; ++i) column[i] = T(0);
#pragma unroll(Pass::kSumsAtOnce)
    for (int i = 0; i < Product::kSums; ++i) weight_g[i] = T(0);
    for (std::int32_t first_row = 0; first_row < item.rows; first_row += layout.round_rows) {
      const std::int32_t busy = layout.busy_warps(item.rows - first_row);
      const bool active = at.warp < busy;
      Tile<T, D> normal = {}, grad = {};
      T inverse[2] = {};
      if (active) {
        Tile<T, D> value = {};  // e, then g, then alpha out
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const SlotPlace slot(item, layout, at, half, first_row);
          if (!slot.inside) continue;
          read_channels<D>(in.edge + slot.edge * D, at.q, [&](int c, T e) { value[half][c] = e; });
          read_channels<D>(in.projection + slot.target * 4 * D, at.q, [&](int c, T u) { normal[half][c] = u; });
          read_channels<D>(in.projection + slot.source * 4 * D + D, at.q, [&](int c, T v) { normal[half][c] += v; });
        }
        if constexpr (Product::kFromTile) {
          Product::put(tile0, at, value);
          __syncwarp();
        }
        Product::multiply(tile0, at, value, matrix[kToState], normal);
        if constexpr (Product::kFromTile) __syncwarp();
        inverse[0] = normalise<D>(normal[0]);
        inverse[1] = normalise<D>(normal[1]);
#pragma unroll
        for (int c = 0; c < kEach; ++c) {
          kept_normal[c] = normal[0][c];
          kept_normal[kEach + c] = normal[1][c];
        }
        if (a.grad_edge_out) {
          read_channels<D>(shared.modulation, at.q, [&](int c, T gamma) {
            value[0][c] = normal[0][c] * gamma;
            value[1][c] = normal[1][c] * gamma;
          });
          read_channels<D>(shared.modulation + D, at.q, [&](int c, T beta) {
            value[0][c] = silu(value[0][c] + beta);
            value[1][c] = silu(value[1][c] + beta);
          });
          Product::put(tile0, at, value);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const SlotPlace slot(item, layout, at, half, first_row);
#pragma unroll
            for (int c = 0; c < kEach; ++c) value[half][c] = T(0);
            if (slot.inside)
              read_channels<D>(a.grad_edge_out + slot.edge * D, at.q, [&](int c, T out) { value[half][c] = out; });
          }
          read_channels<D>(shared.modulation + 2 * D, at.q, [&](int c, T alpha) {
            value[0][c] *= alpha;
            value[1][c] *= alpha;
          });
          Product::put(tile1, at, value);
          if constexpr (Product::kFromTile) __syncwarp();
          Product::multiply(tile1, at, value, matrix[kFromUpdate], grad);
        }
      }
      if (a.grad_edge_out) {
        __syncthreads();
        add_outer_products<Product, T>(tile1, tile0, busy, weight_g);
        __syncthreads();
      }
      if (active) {
#pragma unroll
        for (int c = 0; c < kEach; ++c) {
          normal[0][c] = kept_normal[c];
          normal[1][c] = kept_normal[kEach + c];
        }
        // Gradients of g, t and s; then `grad` is that of gamma x + beta.
        {
          RowSum<T, D> row;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const SlotPlace slot(item, layout, at, half, first_row);
            row.begin(layout.across, half);
            const bool aggregates = a.grad_aggregate && slot.inside;
#pragma unroll
            for (int i = 0; i < kEach / 4; ++i) {
              const auto four = [&](const T* from) {
                return *reinterpret_cast<const Four<T>*>(from + 16 * i + 4 * at.q);
              };
              const Four<T> gamma = four(shared.modulation), beta = four(shared.modulation + D);
              Four<T> gate;
#pragma unroll
              for (int j = 0; j < 4; ++j) gate.value[j] = normal[half][4 * i + j] * gamma.value[j] + beta.value[j];
              if (aggregates) {
                const Four<T> to_row = four(a.grad_aggregate + slot.target * 2 * D),
                              to_column = four(a.grad_aggregate + slot.source * 2 * D + D),
                              of_source = four(in.projection + slot.source * 4 * D + 2 * D),
                              of_target = four(in.projection + slot.target * 4 * D + 3 * D);
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                  const int c = 4 * i + j;
                  const T g = silu(gate.value[j]), of_row = shared.per_row * to_row.value[j],
                          col = shared.per_col * to_column.value[j];
                  grad[half][c] += of_row * of_source.value[j] + col * of_target.value[j];
                  column[Pass::column(1, half, c)] += of_row * g;
                  row.value[c] += col * g;
                }
              }
#pragma unroll
              for (int j = 0; j < 4; ++j) grad[half][4 * i + j] *= silu_slope(gate.value[j]);
            }
            if (a.grad_aggregate)
              row.end(layout.across, at, half, shared.row_sums[1] + at.warp * D,
                      [&](int) { return row_place(1, slot.row); });
          }
        }
        add_network<D>(shared.network_sums[1] + at.warp * D, at, [&](int half, int c) { return grad[half][c]; });
        add_network<D>(shared.network_sums[0] + at.warp * D, at,
                       [&](int half, int c) { return grad[half][c] * normal[half][c]; });
        // The layer norm's gradient: from here on `grad` is that of z.
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          T sum = T(0), dot = T(0);
          read_channels<D>(shared.modulation, at.q, [&](int c, T gamma) {
            grad[half][c] *= gamma;
            sum += grad[half][c];
            dot += grad[half][c] * normal[half][c];
          });
          const T mean = slot_sum(sum) / static_cast<T>(D), slope = slot_sum(dot) / static_cast<T>(D);
#pragma unroll
          for (int c = 0; c < kEach; ++c) {
            grad[half][c] = (grad[half][c] - mean - normal[half][c] * slope) * inverse[half];
            column[Pass::column(0, half, c)] += grad[half][c];
          }
        }
        {
          RowSum<T, D> row;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const SlotPlace slot(item, layout, at, half, first_row);
            row.begin(layout.across, half);
#pragma unroll
            for (int c = 0; c < kEach; ++c) row.value[c] += grad[half][c];
            row.end(layout.across, at, half, shared.row_sums[0] + at.warp * D,
                    [&](int) { return row_place(0, slot.row); });
          }
        }
        Product::put(tile0, at, grad);
        Tile<T, D>& edge = normal;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const SlotPlace slot(item, layout, at, half, first_row);
#pragma unroll
          for (int c = 0; c < kEach; ++c) edge[half][c] = T(0);
          if (slot.inside)
            read_channels<D>(in.edge + slot.edge * D, at.q, [&](int c, T value) { edge[half][c] = value; });
        }
        Product::put(tile1, at, edge);
        if (a.grad_edge) {
          Tile<T, D>& back = edge;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const SlotPlace slot(item, layout, at, half, first_row);
            if (!slot.inside) continue;
            read_channels<D>(a.grad_edge + slot.edge * D, at.q, [&](int c, T value) { back[half][c] = value; });
            if (a.grad_edge_out && a.grad_edge_out != a.grad_edge)
              read_channels<D>(a.grad_edge_out + slot.edge * D, at.q, [&](int c, T value) { back[half][c] += value; });
          }
          if constexpr (Product::kFromTile) __syncwarp();
          Product::multiply(tile0, at, grad, matrix[kFromState], back);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const SlotPlace slot(item, layout, at, half, first_row);
            if (slot.inside) write_channels<D>(a.grad_edge + slot.edge * D, at.q, [&](int c) { return back[half][c]; });
          }
        }
      }
      __syncthreads();
      add_outer_products<Product, T>(tile0, tile1, busy, weight_c);
      for (int which = 0; which < (a.grad_aggregate ? 2 : 1); ++which)
        add_warps<D>(layout, shared.row_sums[which], [&](int row) { return row_place(which, first_row + row); });
      __syncthreads();
    }
    T* columns = reinterpret_cast<T*>(shared.tiles);
    for (int which = 0; which < (a.grad_aggregate ? 2 : 1); ++which) {
      if (which > 0) __syncthreads();
      put_columns<D>(layout, at, columns, [&](int half, int c) { return column[Pass::column(which, half, c)]; });
      add_columns<D>(item, layout, columns, [&](int col) -> SumPlace<T> {
        if (item.column_partial >= 0)
          return {in.column_partial + (item.column_partial + col) * 2 * D + which * D, false, T(1)};
        return {a.grad_projection + item.source(col) * 4 * D + (1 + which) * D, true, T(1)};
      });
    }
    const int thread = not_known(static_cast<int>(threadIdx.x));
    if (a.grad_edge_out)
      Product::sum_rows(
          thread,
          [&](int i) {
            int row, col;
            return Product::place_of_sum(thread, i, &row, &col) ? a.weight_g[row * D + col] * weight_g[i] : T(0);
          },
          shared.network_sums[2] + at.warp * D);
    const bool first = index == static_cast<std::int32_t>(blockIdx.x);
    for_sums(thread, 1, [&](int i, T& to) { to = (first ? T(0) : to) + weight_g[i]; });
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < 3 * D; i += kThreads) {
      T sum = T(0);
      for (int warp = 0; warp < kEdgeWarps; ++warp) sum += shared.network_sums[i / D][warp * D + i % D];
      a.modulation_partial[std::int64_t{index} * 3 * D + i] = i < 2 * D ? sum : sum / shared.modulation[i];
    }
  }
  for_sums(static_cast<int>(threadIdx.x), 0, [&](int i, T& to) { to = weight_c[i]; });
  if (static_cast<std::int32_t>(blockIdx.x) >= items)
    for_sums(static_cast<int>(threadIdx.x), 1, [](int, T& to) { to = T(0); });
}

template <class T, int D, Precision P, Footprint F>
__global__ void __launch_bounds__(kThreads, 1)
    edge_update_backward_kernel(const __grid_constant__ EdgeBackward<T, D, P> a) {
  if constexpr (kMayRun<F>) edge_update_backward_items<T, D, P, F>(a);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
