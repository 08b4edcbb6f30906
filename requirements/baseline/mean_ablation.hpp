#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/subject_network.hpp"
#include "requirements/baseline/network_probe.hpp"

namespace amend {

/// How a feature's worth to a network is told.
enum class FeatureScore : std::uint8_t {
  saliency,    // second-order estimate from one probe
  divergence,  // mean Jensen-Shannon divergence, measured, when this feature alone is held at its mean
};

/// Scores (networks, features). input (rows, inputs): probe rows, see `spread_rows`.
std::vector<std::vector<double>> feature_scores(std::span<const SubjectNetwork* const> networks,
                                                std::span<const float> input, std::span<const Feature> features,
                                                FeatureScore kind);

/// Keeps the `kept` features of largest score of every network (ties: the earlier). The first-layer weights of all
/// others become zero and their mean contribution is folded into the biases. Throws Error unless 0 <= kept <= features.
std::vector<SubjectNetwork> mean_ablation_features(std::span<const SubjectNetwork* const> networks,
                                                   std::span<const float> input, std::span<const Feature> features,
                                                   std::int64_t kept, FeatureScore kind = FeatureScore::divergence);

/// Removes the features that are not marked in `kept`: zero first-layer weights, mean folded into the biases.
/// node_mean as in NetworkProbe.
SubjectNetwork remove_features(const SubjectNetwork& network, std::span<const float> node_mean,
                               std::span<const Feature> features, std::span<const std::uint8_t> kept);

}  // namespace amend
