#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// How a feature's worth to a network is told.
enum class FeatureScore : std::uint8_t {
  norm,         // Euclidean norm of the feature's first-layer weights; needs no data
  saliency,     // second-order estimate from one probe
  divergence,   // mean Jensen-Shannon divergence, measured, when this feature alone is held at its mean
  permutation,  // increase of the cross-entropy when the feature's columns are shuffled together; needs labels
};

/// How permutation importance is measured: Breiman, *Random Forests*, Machine Learning 45, 2001; for any model Fisher,
/// Rudin, Dominici, *All Models are Wrong, but Many are Useful*, JMLR 20, 2019 (model reliance, as a difference).
struct PermutationImportance {
  std::span<const std::int32_t> label;  // (rows)
  int shuffles = 5;                     // averaged over
  std::uint64_t seed = 1;
};

/// Scores (networks, features); cross-entropies and divergences in nats. input (rows, inputs): probe rows, see
/// `spread_rows`; may be empty for norms. Permutation importance may be negative: a feature that the network is better
/// off without. Throws Error when features lie outside the inputs, or rows or labels are missing or do not fit.
std::vector<std::vector<double>> feature_scores(std::span<const SubjectNetwork* const> networks,
                                                std::span<const float> input, std::span<const Feature> features,
                                                FeatureScore kind, const PermutationImportance& permutation = {});

/// Marks (networks, features) of the `kept` features of largest score of every network (ties: the earlier). One call of
/// `feature_scores` serves any number of budgets. Throws Error unless 0 <= kept <= features.
std::vector<std::vector<std::uint8_t>> select_features(std::span<const std::vector<double>> scores, std::int64_t kept);

/// Means of the input columns, (inputs), of input (rows, inputs). Throws Error without rows.
std::vector<double> column_means(std::span<const float> input, int inputs);

/// Removes from every network the features that are not marked in `kept`, (networks, features): their first-layer
/// weights become zero. With `column_mean` (inputs) their mean contribution is folded into the biases, which is the
/// same as holding them at their mean; when it is empty nothing is folded. Throws Error when sizes do not fit.
std::vector<SubjectNetwork> remove_features(std::span<const SubjectNetwork* const> networks,
                                            std::span<const Feature> features,
                                            std::span<const std::vector<std::uint8_t>> kept,
                                            std::span<const double> column_mean = {});

}  // namespace amend
