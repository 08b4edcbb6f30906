#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// Whether the network's outputs depend on each feature (1 or 0): whether one of its input columns has a path of
/// non-zero weights to an output. A non-zero weight into a hidden neuron that leads nowhere is not use. Throws Error
/// when a feature's columns lie outside the network's inputs.
std::vector<std::uint8_t> used_features(const SubjectNetwork& network, std::span<const Feature> features);

/// The rows with every input column of the features not marked in `kept` replaced by its mean over the rows. A network
/// that does not use them must answer exactly as before. input (rows, inputs).
std::vector<float> without_features(std::span<const float> input, int inputs, std::span<const Feature> features,
                                    std::span<const std::uint8_t> kept);

}  // namespace amend
