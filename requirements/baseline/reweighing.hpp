#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace amend {

/// Reweighing: Kamiran, Calders, *Data preprocessing techniques for classification without discrimination*, Knowledge
/// and Information Systems 33, 2012. Weights of the rows, (rows), of mean 1,
///     w(s, y) = P(s) P(y) / P(s, y)
/// with frequencies of group s and label y among the rows: weighted, label and group are independent, while groups and
/// labels keep their frequencies. label (rows), 0 .. classes - 1; group (rows), 0 .. groups - 1. Groups and labels that
/// no row has do not matter. Throws Error when sizes disagree, an id is out of range, there are no rows, or a group
/// lacks a label that others have: no weights make up for rows that are not there.
std::vector<double> reweighing_weights(std::span<const std::int32_t> label, std::span<const std::int32_t> group,
                                       int classes, int groups);

/// Probabilities, which add up to 1, with which rows are to be drawn (with replacement) so that an unweighted training
/// sees label and group independent: w / rows. Throws Error as `reweighing_weights` does.
std::vector<double> reweighing_probabilities(std::span<const std::int32_t> label, std::span<const std::int32_t> group,
                                             int classes, int groups);

}  // namespace amend
