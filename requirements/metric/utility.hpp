#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace amend {

/// The class with the largest logit of every row, the first of equals. logits (rows, classes).
std::vector<std::int32_t> predicted_classes(std::span<const float> logits, int classes);

/// Share of rows where `predicted` equals `label`. Throws Error when there are no rows or sizes disagree.
double accuracy(std::span<const std::int32_t> predicted, std::span<const std::int32_t> label);

/// Jensen-Shannon divergence in nats (0 .. ln 2) between the predictions of two networks, row by row, in double.
/// Both (rows, classes) logits; returns (rows).
std::vector<double> row_divergence(std::span<const float> original, std::span<const float> edited, int classes);

/// Mean Jensen-Shannon divergence of every pair (a, b): first (count_a, rows, classes), second (count_b, rows, classes)
/// logits; returns (count_a, count_b). Entropies are computed once per network, so that a pair costs one logarithm per
/// row and class.
std::vector<double> cross_divergence(std::span<const float> first, std::int64_t first_count,
                                     std::span<const float> second, std::int64_t second_count, int classes);

}  // namespace amend
