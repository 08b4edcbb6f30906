#pragma once

// One row tile of one subject network: what subject_forward and probe share.

#include "kernels/cpu/column_sums.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/tile.hpp"
#include "kernels/subject_forward.hpp"

namespace amend::kernels::cpu {

/// Rows a task works on. The layers of a tile stay in the second-level cache, and a batch of one network of a few
/// hundred rows still feeds several threads.
inline constexpr std::int64_t kSubjectRows = 256;

inline std::int64_t subject_tiles(std::int64_t rows) { return (rows + kSubjectRows - 1) / kSubjectRows; }

/// Calls `body(network, tile, first_row, row_count)` for every row tile of every network.
template <class Body>
void for_subject_tiles(const BlockTable& table, std::int64_t rows, const Body& body) {
  const std::int64_t tiles = subject_tiles(rows);
  parallel_for(table.network_count * tiles, [&](std::int64_t task) {
    const std::int64_t tile = task % tiles, first = tile * kSubjectRows;
    body(table.network[task / tiles], tile, first, std::min(kSubjectRows, rows - first));
  });
}

/// The hidden layers of a network inside an (hidden_count, rows) tensor, seen from a row tile.
template <class T>
struct HiddenLayers {
  T* base;                  // of the network
  const Block* block;       // first of the network
  std::int64_t rows;        // of the tensor
  std::int64_t first;       // row of the tile
  std::int64_t node_begin;  // node row of the network's first hidden node

  HiddenLayers(T* tensor, const BlockTable& table, const Network& network, std::int64_t rows_in, std::int64_t first_in)
      : base(tensor ? tensor + network.hidden_offset * rows_in : nullptr),
        block(table.block + network.first_block),
        rows(rows_in),
        first(first_in),
        node_begin(network.node_offset + network.inputs) {}

  /// The tile's (row_count, width) matrix of the layer that block `index` of the network produces.
  T* target(std::int32_t index) const {
    return base + (block[index].target_offset - node_begin) * rows + first * block[index].rows;
  }
  /// The one it reads; index > 0.
  T* source(std::int32_t index) const { return target(index - 1); }
};

/// Carries the gradient `delta` of the logits of a row tile, (row_count, classes), back through the layers. Calls
/// `visit(block_index, delta)` at every block, last to first, with the (row_count, block.rows) gradient of what
/// the block computes before its activation. `buffer`: two blocks of row_count * widest elements.
template <class T, class Visit>
void subject_tile_backward(const Network& network, const Block* block, const T* weight, const HiddenLayers<T>& slope,
                           std::int64_t row_count, const T* delta, T* buffer, std::int64_t widest, const Visit& visit) {
  for (std::int32_t l = network.block_count - 1; l >= 0; --l) {
    visit(l, delta);
    if (l == 0) break;
    T* below = buffer + (l % 2) * row_count * widest;
    const std::int64_t out = block[l].rows, in = block[l].cols, count = row_count * in;
    gemm(Trans::no, Trans::no, row_count, in, out, T(1), delta, out, weight + block[l].edge_offset, in, T(0), below,
         in);
    const T* tile_slope = slope.source(l);
    for (std::int64_t i = 0; i < count; ++i) below[i] *= tile_slope[i];
    delta = below;
  }
}

/// Width of the widest layer of neurons of the batch, inputs left out.
inline std::int64_t widest_layer(const BlockTable& table) {
  std::int64_t widest = 1;
  for (std::int32_t b = 0; b < table.block_count; ++b) widest = std::max<std::int64_t>(widest, table.block[b].rows);
  return widest;
}

}  // namespace amend::kernels::cpu
