#pragma once

#include "kernels/kernel.hpp"

// No tape rule: features of the edit so far, constants to the editor.

namespace amend::kernels {

inline constexpr std::int64_t kPassFlags = 2;

/// Number of network features for `requirements` requirements.
constexpr std::int64_t network_feature_count(std::int64_t requirements) { return 1 + kPassFlags + 3 * requirements; }

/// What a refinement pass reads of every network: the divergence so far; for each requirement in force its value and
/// its weighted value held against the divergence; which pass it is.
struct NetworkFeatures {
  TensorView divergence;   // (networks)
  TensorView requirement;  // (networks, requirements): soft values so far
  TensorView lambda;       // (networks, requirements)
  int pass = 1;            // 1 or 2
  TensorView feature;      // out (networks, network_feature_count(requirements))
  TensorView reference;    // out (networks): the weight gradients are held against: the first requirement in force
};
AMEND_DECLARE_KERNEL(network_features, NetworkFeatures)

}  // namespace amend::kernels
