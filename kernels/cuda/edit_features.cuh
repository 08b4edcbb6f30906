#pragma once

// How the feature kernels cut their work: a block of the table is done in chunks of whole target rows, a thread block
// each; blocks of up to kChunkEdges weights are one chunk. Sums over a block of several chunks are partial sums of an
// earlier launch, which every chunk adds in order. Cuts depend on the block's own shape only.

#include "kernels/cuda/reduction.cuh"
#include "kernels/feature_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

inline constexpr std::int64_t kChunkEdges = 4096;
inline constexpr std::int64_t kMaxChunkBlocks = 32;  // thread blocks of one block of the table
inline constexpr int kFeatureWarps = kThreads / kWarp;

struct Chunks {
  std::int64_t rows, count;  // target rows of a chunk, fewer in the last; chunks

  __device__ explicit Chunks(const Block& block)
      : rows(ceil_div(kChunkEdges, block.cols)), count(ceil_div(block.rows, rows)) {}
};

/// Whether a batch may have blocks of several chunks.
inline bool may_cut(const BlockTable& table) { return table.max_edges > kChunkEdges; }

/// Chunks with partial sums before those of a block: several chunks have more than kChunkEdges / 2 weights each.
__host__ __device__ constexpr std::int64_t first_partial(std::int64_t edge_offset) {
  return ceil_div(edge_offset, kChunkEdges / 2);
}

inline dim3 chunk_grid(const BlockTable& table) {
  dim3 grid = grid_of(table.block_count);
  const std::int64_t chunks = table.max_edges / kChunkEdges + 1;
  grid.y = static_cast<unsigned>(chunks < kMaxChunkBlocks ? chunks : kMaxChunkBlocks);
  return grid;
}

/// A chunk: target rows [first_row, last_row) and weights [first, last) of the batch.
struct Chunk {
  std::int64_t index, count;  // of the block's chunks
  std::int64_t first_row, last_row, first, last;
};

/// Calls body(chunk) for the chunks of the block that are this thread block's.
template <class Body>
__device__ inline void for_chunks(const Block& block, const Body& body) {
  const Chunks chunks(block);
  for (std::int64_t c = blockIdx.y; c < chunks.count; c += gridDim.y) {
    const std::int64_t first = c * chunks.rows, end = first + chunks.rows, last = end < block.rows ? end : block.rows;
    body(Chunk{c, chunks.count, first, last, block.edge_offset + first * block.cols,
               block.edge_offset + last * block.cols});
  }
}

/// The sum of term(k) over weights [first, last), in every thread.
template <class Term>
__device__ inline double sum_over(std::int64_t first, std::int64_t last, const Term& term) {
  double sum = 0;
  for (std::int64_t k = first + threadIdx.x; k < last; k += kThreads) sum += term(k);
  return block_sum(sum);
}

/// partial[(first_partial + chunk) * width + i] over all chunks of the block, in order.
__device__ inline double sum_of_partials(const double* partial, const Block& block, std::int64_t chunks,
                                         std::int64_t width, std::int64_t i) {
  double sum = 0;
  for (std::int64_t c = 0; c < chunks; ++c) sum += partial[(first_partial(block.edge_offset) + c) * width + i];
  return sum;
}

template <class T>
__device__ inline T block_root_mean(double squares, const Block& block) {
  return static_cast<T>(std::sqrt(squares / (static_cast<double>(block.rows) * block.cols)));
}
template <class T>
__device__ inline T block_mean(double sum, const Block& block) {
  return static_cast<T>(sum / (static_cast<double>(block.rows) * block.cols));
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
