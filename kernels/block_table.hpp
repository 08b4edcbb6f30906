#pragma once

#include <cstdint>

#include "kernels/kernel.hpp"

namespace amend::kernels {

enum class BlockKind : std::int32_t { first, hidden, last };
inline constexpr int kBlockKinds = 3;
inline constexpr int kNodeKinds = 3;  // input, hidden, output

/// One weight matrix of a batch: a dense bipartite piece of a parameter graph. Edge (i, j) of the block, from source
/// neuron j to target neuron i, is row `edge_offset + i * cols + j` of an edge tensor: PyTorch's (out, in) layout.
struct Block {
  std::int64_t edge_offset;
  std::int64_t source_offset;  // node row of source neuron 0
  std::int64_t target_offset;  // node row of target neuron 0
  std::int32_t rows;           // target neurons
  std::int32_t cols;           // source neurons
  BlockKind kind;              // `last` when it is both the first and the last
  std::int32_t network;
};

/// One network of a batch. Its nodes are its layers one after the other, inputs first, and its blocks likewise.
struct Network {
  std::int64_t node_offset;
  std::int64_t edge_offset;
  std::int64_t hidden_offset;  // counts hidden nodes only: activations are stored for those
  std::int32_t hidden_count;
  std::int32_t node_count;
  std::int32_t edge_count;
  std::int32_t first_block;
  std::int32_t block_count;
  std::int32_t inputs;
  std::int32_t outputs;
  std::int32_t activation;  // amend::Activation
};

/// The shape of a ragged batch. Pointers are to memory of the device the batch lives on and outlive every kernel that
/// is given the table.
struct BlockTable {
  const Block* block = nullptr;
  const Network* network = nullptr;
  std::int32_t block_count = 0;
  std::int32_t network_count = 0;
  std::int64_t edge_count = 0;
  std::int64_t node_count = 0;
  std::int64_t hidden_count = 0;
  std::int32_t max_blocks = 0;  // of one network
  std::int32_t max_nodes = 0;
  std::int32_t max_edges = 0;
  std::int32_t outputs = 0;  // of every network
  Segments network_edges;    // edges of each network
  Segments network_nodes;    // nodes of each network
  Segments network_hidden;   // hidden nodes of each network, counting hidden nodes only
  Segments networks;         // one row per network
  Segments block_edges;      // edges of each block
};

}  // namespace amend::kernels
