#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace amend {

/// Two-class logits of networks over the same labelled rows of several groups of people.
struct GroupedLogits {
  std::span<const float> logits;        // (networks, rows, 2)
  std::span<const std::int32_t> label;  // (rows), 0 or 1
  std::span<const std::int32_t> group;  // (rows), 0 .. groups - 1
  int groups = 0;

  std::size_t rows() const { return label.size(); }
  std::size_t networks() const { return label.empty() ? 0 : logits.size() / (2 * label.size()); }
  /// Logits (rows, 2) of one network.
  std::span<const float> of(std::size_t network) const { return logits.subspan(network * 2 * rows(), 2 * rows()); }
  /// Throws Error, which begins with `where`, unless sizes agree, ids are in range and logits are finite.
  void validate(const char* where) const;
};

/// A place to cut the margins z_1 - z_0 of one group: rows with a larger margin are predicted 1.
struct RocCut {
  double below, above;  // neighbouring margins on both sides, infinite at the ends
  std::int64_t true_positives, false_positives;

  /// Midway between the neighbours; infinite at the ends: nobody, everybody.
  double threshold() const;
  bool contains_zero() const { return below <= 0.0 && above > 0.0; }
  /// Cuts the same and is finite: 0, the network's own decision, where that does; otherwise midway, at the ends 1
  /// beyond the last margin.
  double mild_threshold() const;
};

/// What thresholds make of the rows of one group.
struct GroupRoc {
  std::int64_t positives = 0, negatives = 0;
  std::vector<RocCut> cut;  // one between any two different margins, from nobody to everybody

  double true_positive_rate(const RocCut& c) const;
  double false_positive_rate(const RocCut& c) const;
  /// Share of `rows` rows that the cut gets wrong in this group.
  double error(const RocCut& c, std::size_t rows) const;
  /// The same for the network's own decisions, threshold 0.
  double own_error(std::size_t rows) const;
};

/// Curves of all groups for one network.
std::vector<GroupRoc> group_rocs(const GroupedLogits& rows, std::size_t network);

/// Groups with fewer than `minimum_rows` rows of either label, whose rates are insufficient evidence. Throws Error,
/// which begins with `where`, when fewer than two groups are left.
std::vector<int> groups_without_evidence(const GroupedLogits& rows, std::int64_t minimum_rows, const char* where);

/// At most `limit` cuts spread evenly over the different margins, and the one that contains 0; both ends among them.
std::vector<RocCut> quantile_cuts(const GroupRoc& roc, int limit);

/// Corners of the convex hull of the curve's points (false-positive rate, true-positive rate), above and below it;
/// nobody first.
std::vector<RocCut> hull_cuts(const GroupRoc& roc);

}  // namespace amend
