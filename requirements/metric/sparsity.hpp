#pragma once

#include <cstdint>

#include "metanet/data/subject_network.hpp"

namespace amend {

/// What a network costs to store and run, counted from its exact zeros.
struct Sparsity {
  std::int64_t weights = 0;
  std::int64_t nonzero_weights = 0;
  double nonzero_share = 0.0;
  std::int64_t dense_bytes = 0;   // float32 weights and biases
  std::int64_t sparse_bytes = 0;  // 4 bytes of value and 4 of index per non-zero weight, float32 biases
  std::int64_t dense_flops = 0;   // per row: a multiplication and an addition per weight
  std::int64_t sparse_flops = 0;  // the same per non-zero weight
  std::int64_t hidden_neurons = 0;
  std::int64_t live_neurons = 0;  // hidden, on a path of non-zero weights from an input to an output
};

Sparsity sparsity(const SubjectNetwork& network);

}  // namespace amend
