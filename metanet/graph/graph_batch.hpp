#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/arena.hpp"
#include "engine/tensor.hpp"
#include "kernels/block_table.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// The parameter graphs of a batch of networks, of the same or of different shapes: the block table and the memory
/// behind it. Moving keeps the tables valid.
class GraphBatch {
 public:
  GraphBatch() = default;
  /// Throws Error when the batch mixes numbers of inputs or outputs, or a network has fewer than two layers of nodes.
  explicit GraphBatch(std::span<const SubjectNetwork* const> networks) { assign(networks); }
  /// The same for an existing batch; its memory is used again.
  void assign(std::span<const SubjectNetwork* const> networks);
  GraphBatch(GraphBatch&&) = default;
  GraphBatch& operator=(GraphBatch&&) = default;
  GraphBatch(const GraphBatch&) = delete;
  GraphBatch& operator=(const GraphBatch&) = delete;

  /// The table for host code: its arrays are in host memory.
  const kernels::BlockTable& table() const { return table_; }
  /// The table for kernels: on the device of the arena that it was staged in last, as long as that lives and is not
  /// reset; without, the host's.
  const kernels::BlockTable& device_table() const { return device_table_; }
  /// Stages the arrays of `device_table` in memory of `arena`. On the CPU there is nothing to do.
  void stage(Arena& arena);
  /// All numbers of the table that are not behind a pointer: what launches of kernels may depend on.
  std::vector<std::int64_t> launch_key() const;
  int networks() const { return table_.network_count; }
  int inputs() const { return network_.empty() ? 0 : network_.front().inputs; }
  int outputs() const { return network_.empty() ? 0 : network_.front().outputs; }

  /// Writes the weights of all networks, edge by edge, and the biases, node by node (0 at input nodes).
  /// weight (edges), bias (nodes); float32 or float64.
  void gather(std::span<const SubjectNetwork* const> networks, const TensorView& weight, const TensorView& bias) const;
  /// The reverse, for network `index` of the batch.
  void scatter(int index, const TensorView& weight, const TensorView& bias, SubjectNetwork& network) const;

 private:
  std::vector<kernels::Block> block_;
  std::vector<kernels::Network> network_;
  std::vector<std::int64_t> network_edges_, network_nodes_, network_hidden_, networks_, block_edges_;
  kernels::BlockTable table_, device_table_;
};

}  // namespace amend
