#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// Freshly initialised networks of the same names, shapes and activations, for retraining from scratch with
/// `fine_tune`: He's initialisation, biases 0, and zero weights from the features that are not marked in `uses`,
/// (networks, features), which therefore stay unused. The same seed and place in the list give the same bits. Throws
/// Error when sizes disagree.
std::vector<SubjectNetwork> untrained_like(std::span<const SubjectNetwork* const> networks, const Dataset& dataset,
                                           std::span<const std::vector<std::uint8_t>> uses, std::uint64_t seed);

}  // namespace amend
