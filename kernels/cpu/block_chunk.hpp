#pragma once

// How the edge kernels cut their work: a chunk is a run of whole target rows of one block, done by one thread in tiles
// of kTileEdges consecutive edges. Sums over target rows end inside a chunk; sums over source columns leave one partial
// a chunk, added in chunk order by `add_chunk_columns`. Cuts depend on a block's own shape only.

#include <vector>

#include "kernels/block_table.hpp"
#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

inline constexpr std::int64_t kTileEdges = 256;
inline constexpr std::int64_t kChunkEdges = 2048;
inline constexpr std::int64_t kChunkMinRows = 16;  // keeps the partials small beside the edges they sum

/// Edges from which a few operations an edge are worth sharing among threads.
inline constexpr std::int64_t kWorthwhileEdges = 8192;

struct BlockChunk {
  std::int32_t block;
  std::int32_t first_row, row_count;
  std::int64_t column_offset;  // first source column of this chunk among the partials of all chunks
};

struct ChunkList {
  std::vector<BlockChunk> chunk;
  std::vector<std::int64_t> block_first;  // (blocks + 1) first chunk of each block
  std::int64_t columns = 0;               // of all chunks together
};

/// The chunks of a batch; owned by the calling thread, overwritten by its next call.
inline const ChunkList& block_chunks(const BlockTable& table) {
  thread_local ChunkList list;
  list.chunk.clear();
  list.block_first.clear();
  list.columns = 0;
  for (std::int32_t b = 0; b < table.block_count; ++b) {
    const Block& block = table.block[b];
    list.block_first.push_back(static_cast<std::int64_t>(list.chunk.size()));
    const std::int64_t rows = std::max(kChunkMinRows, kChunkEdges / std::max(block.cols, 1));
    for (std::int64_t row = 0; row < block.rows; row += rows) {
      list.chunk.push_back({b, static_cast<std::int32_t>(row),
                            static_cast<std::int32_t>(std::min<std::int64_t>(rows, block.rows - row)), list.columns});
      list.columns += block.cols;
    }
  }
  list.block_first.push_back(static_cast<std::int64_t>(list.chunk.size()));
  return list;
}

/// Consecutive chunks whose sums over all networks (gradients of shared weights) are formed in one place: their number
/// does not grow with the batch, and depends on nothing but the batch.
struct PartList {
  static constexpr std::int64_t kMost = 64;
  std::int64_t chunks, each, count;

  explicit PartList(const ChunkList& list)
      : chunks(static_cast<std::int64_t>(list.chunk.size())),
        each(std::max<std::int64_t>((chunks + kMost - 1) / kMost, 1)),
        count((chunks + each - 1) / each) {}
  std::int64_t first(std::int64_t part) const { return std::min(chunks, part * each); }
};

/// Calls `body(row, col, position, count)` for the row pieces of edges [begin, end) of a block, in order: `count` edges
/// of target row `row` from source column `col`, the first of them edge `begin + position`.
template <class Body>
void for_row_pieces(std::int64_t begin, std::int64_t end, std::int64_t cols, const Body& body) {
  for (std::int64_t edge = begin; edge < end;) {
    const std::int64_t row = edge / cols, col = edge - row * cols;
    const std::int64_t count = std::min(cols - col, end - edge);
    body(row, col, edge - begin, count);
    edge += count;
  }
}

/// Node target[node, column] += scale(block) * partial sums of the chunks of every block, over `width` channels.
/// target has `stride` elements a node and starts at channel `channel`.
template <class T, class Scale>
void add_chunk_columns(const BlockTable& table, const ChunkList& list, const T* partial, std::int64_t width, T* target,
                       std::int64_t stride, std::int64_t channel, const Scale& scale) {
  parallel_for(table.block_count, [&](std::int64_t b) {
    const Block& block = table.block[b];
    const T factor = scale(block);
    for (std::int64_t c = list.block_first[static_cast<std::size_t>(b)];
         c < list.block_first[static_cast<std::size_t>(b) + 1]; ++c) {
      const T* sums = partial + list.chunk[static_cast<std::size_t>(c)].column_offset * width;
      for (std::int64_t col = 0; col < block.cols; ++col) {
        T* out = target + (block.source_offset + col) * stride + channel;
        for (std::int64_t d = 0; d < width; ++d) out[d] += factor * sums[col * width + d];
      }
    }
  });
}

}  // namespace amend::kernels::cpu
