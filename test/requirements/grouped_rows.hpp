#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/random.hpp"
#include "requirements/baseline/group_roc.hpp"

namespace amend::test {

/// Logits of networks over rows of several groups that differ in base rate, in how well they are told apart, and in the
/// margin that is right for them.
struct GroupedRows {
  std::vector<float> logits;        // (networks, rows, 2)
  std::vector<std::int32_t> label;  // (rows)
  std::vector<std::int32_t> group;  // (rows)
  int groups = 0;

  GroupedLogits view() const { return {.logits = logits, .label = label, .group = group, .groups = groups}; }
  std::size_t networks() const { return logits.size() / (2 * label.size()); }
  double margin(std::size_t network, std::size_t row) const {
    const float* z = logits.data() + 2 * (network * label.size() + row);
    return static_cast<double>(z[1]) - z[0];
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (int g = 0; g < groups; ++g) result.push_back("group " + std::to_string(g));
    return result;
  }
};

/// `steps` > 0 rounds logits to multiples of 1 / steps, which makes ties.
inline GroupedRows grouped_rows(int networks, int rows, int groups, std::uint64_t seed, double steps = 0.0) {
  GroupedRows result{.groups = groups};
  const RandomStream random(seed, 7);
  for (int row = 0; row < rows; ++row) {
    const int g = row % groups;
    result.group.push_back(g);
    // The first rows of each group have one label, then the other, so that none is missing.
    const bool chance = random.uniform(static_cast<std::uint64_t>(row)) < 0.3f + 0.4f * static_cast<float>(g) / groups;
    result.label.push_back(row < groups ? 1 : row < 2 * groups ? 0 : chance);
  }
  const RandomStream noise(seed, 8);
  std::uint64_t index = 0;
  for (int n = 0; n < networks; ++n)
    for (std::size_t row = 0; row < result.label.size(); ++row) {
      const int g = result.group[row];
      double margin = (result.label[row] == 1 ? 0.8 : -0.8) / (1.0 + g) + 0.5 * g - 0.2 + noise.normal(index++);
      double first = 0.3 * noise.normal(index++);
      if (steps > 0.0) margin = std::round(margin * steps) / steps, first = std::round(first * steps) / steps;
      result.logits.push_back(static_cast<float>(first));
      result.logits.push_back(static_cast<float>(first + margin));
    }
  return result;
}

/// The same rows with group g called `name[g]`.
inline GroupedRows renamed(GroupedRows rows, const std::vector<std::int32_t>& name) {
  for (std::int32_t& g : rows.group) g = name[static_cast<std::size_t>(g)];
  return rows;
}

/// Only network n.
inline GroupedRows alone(const GroupedRows& rows, std::size_t n) {
  GroupedRows result = rows;
  const auto begin = rows.logits.begin() + static_cast<std::ptrdiff_t>(n * 2 * rows.label.size());
  result.logits.assign(begin, begin + static_cast<std::ptrdiff_t>(2 * rows.label.size()));
  return result;
}

/// True- and false-positive rate of a group when rows with a margin above the threshold are predicted 1, and how many
/// rows that gets wrong.
struct CountedRates {
  double true_positive, false_positive;
  int wrong;
};

inline CountedRates counted_rates(const GroupedRows& rows, std::size_t network, int group, double threshold) {
  int selected[2] = {0, 0}, count[2] = {0, 0};
  for (std::size_t row = 0; row < rows.label.size(); ++row) {
    if (rows.group[row] != group) continue;
    const auto y = static_cast<std::size_t>(rows.label[row]);
    ++count[y];
    selected[y] += rows.margin(network, row) > threshold;
  }
  return {static_cast<double>(selected[1]) / count[1], static_cast<double>(selected[0]) / count[0],
          count[1] - selected[1] + selected[0]};
}

/// Every way to cut a group: below all margins, and at each of them.
inline std::vector<CountedRates> all_rates(const GroupedRows& rows, std::size_t network, int group) {
  std::vector<CountedRates> result{counted_rates(rows, network, group, -1e30)};
  for (std::size_t row = 0; row < rows.label.size(); ++row)
    if (rows.group[row] == group) result.push_back(counted_rates(rows, network, group, rows.margin(network, row)));
  return result;
}

}  // namespace amend::test
