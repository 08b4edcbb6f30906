#include "requirements/baseline/group_roc.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/error.hpp"

namespace amend {
namespace {

constexpr double kBeyondMargins = std::numeric_limits<double>::infinity();

/// Twice the area of the triangle of three points (false positives, true positives): positive when the turn is to the
/// left. Counts keep it exact, and scaling the axes to rates does not change its sign.
std::int64_t turn(const RocCut& a, const RocCut& b, const RocCut& c) {
  return (b.false_positives - a.false_positives) * (c.true_positives - a.true_positives) -
         (b.true_positives - a.true_positives) * (c.false_positives - a.false_positives);
}

/// Chain of the hull over points sorted along both axes: sign -1 keeps right turns (above), 1 left ones (below).
std::vector<RocCut> hull_chain(const std::vector<RocCut>& points, int sign) {
  std::vector<RocCut> chain;
  for (const RocCut& point : points) {
    while (chain.size() >= 2 && sign * turn(chain[chain.size() - 2], chain.back(), point) <= 0) chain.pop_back();
    chain.push_back(point);
  }
  return chain;
}

}  // namespace

void GroupedLogits::validate(const char* where) const {
  check(!label.empty() && group.size() == label.size() && logits.size() % (2 * label.size()) == 0, where, "got ",
        logits.size(), " logits of two classes, ", label.size(), " labels and ", group.size(), " group ids");
  for (std::size_t row = 0; row < label.size(); ++row)
    check((label[row] == 0 || label[row] == 1) && group[row] >= 0 && group[row] < groups, where, "row ", row,
          " has label ", label[row], " of two and group ", group[row], " of ", groups);
  for (std::size_t i = 0; i < logits.size(); ++i)
    check(std::isfinite(logits[i]), where, "network ", i / (2 * label.size()), " has logit ", logits[i], " in row ",
          i / 2 % label.size());
}

double RocCut::threshold() const {
  if (std::isinf(below)) return -kBeyondMargins;
  if (std::isinf(above)) return kBeyondMargins;
  const double middle = below + 0.5 * (above - below);
  return middle < above ? middle : below;  // neighbouring floating-point numbers
}

double RocCut::mild_threshold() const {
  if (contains_zero()) return 0.0;
  if (std::isinf(below)) return above - 1.0;
  if (std::isinf(above)) return below + 1.0;
  return threshold();
}

double GroupRoc::true_positive_rate(const RocCut& c) const {
  return static_cast<double>(c.true_positives) / static_cast<double>(positives);
}

double GroupRoc::false_positive_rate(const RocCut& c) const {
  return static_cast<double>(c.false_positives) / static_cast<double>(negatives);
}

double GroupRoc::error(const RocCut& c, std::size_t rows) const {
  return static_cast<double>(positives - c.true_positives + c.false_positives) / static_cast<double>(rows);
}

double GroupRoc::own_error(std::size_t rows) const {
  return error(*std::find_if(cut.begin(), cut.end(), [](const RocCut& c) { return c.contains_zero(); }), rows);
}

std::vector<GroupRoc> group_rocs(const GroupedLogits& rows, std::size_t network) {
  struct Row {
    double margin;
    bool positive;
  };
  std::vector<std::vector<Row>> of_group(static_cast<std::size_t>(rows.groups));
  const std::span<const float> logits = rows.of(network);
  for (std::size_t row = 0; row < rows.rows(); ++row)
    of_group[static_cast<std::size_t>(rows.group[row])].push_back(
        {static_cast<double>(logits[2 * row + 1]) - logits[2 * row], rows.label[row] == 1});
  std::vector<GroupRoc> rocs(of_group.size());
  for (std::size_t g = 0; g < of_group.size(); ++g) {
    std::vector<Row>& sorted = of_group[g];
    std::sort(sorted.begin(), sorted.end(), [](const Row& a, const Row& b) { return a.margin > b.margin; });
    GroupRoc& roc = rocs[g];
    for (std::size_t i = 0; i <= sorted.size(); ++i) {
      const double above = i == 0 ? kBeyondMargins : sorted[i - 1].margin;
      const double below = i == sorted.size() ? -kBeyondMargins : sorted[i].margin;
      if (below < above)
        roc.cut.push_back(
            {.below = below, .above = above, .true_positives = roc.positives, .false_positives = roc.negatives});
      if (i == sorted.size()) break;
      (sorted[i].positive ? roc.positives : roc.negatives) += 1;
    }
  }
  return rocs;
}

std::vector<int> groups_without_evidence(const GroupedLogits& rows, std::int64_t minimum_rows, const char* where) {
  std::vector<std::int64_t> count(2 * static_cast<std::size_t>(rows.groups), 0);
  for (std::size_t row = 0; row < rows.rows(); ++row)
    ++count[2 * static_cast<std::size_t>(rows.group[row]) + static_cast<std::size_t>(rows.label[row])];
  const std::int64_t minimum = std::max<std::int64_t>(minimum_rows, 1);
  std::vector<int> without;
  for (int g = 0; g < rows.groups; ++g)
    if (std::min(count[2 * static_cast<std::size_t>(g)], count[2 * static_cast<std::size_t>(g) + 1]) < minimum)
      without.push_back(g);
  check(rows.groups - static_cast<int>(without.size()) >= 2, where,
        "insufficient evidence: fewer than two groups have ", minimum, " rows of either label");
  return without;
}

std::vector<RocCut> quantile_cuts(const GroupRoc& roc, int limit) {
  check(limit >= 2, "quantile_cuts", "expected two cuts or more, got ", limit);
  const std::size_t count = roc.cut.size(), kept = std::min(count, static_cast<std::size_t>(limit));
  std::vector<bool> marked(count, kept == count);
  for (std::size_t i = 0; i < kept && kept < count; ++i) marked[i * (count - 1) / (kept - 1)] = true;
  std::vector<RocCut> cuts;
  for (std::size_t i = 0; i < count; ++i)
    if (marked[i] || roc.cut[i].contains_zero()) cuts.push_back(roc.cut[i]);
  return cuts;
}

std::vector<RocCut> hull_cuts(const GroupRoc& roc) {
  std::vector<RocCut> corners = hull_chain(roc.cut, -1);
  const std::vector<RocCut> lower = hull_chain(roc.cut, 1);
  if (lower.size() > 2) corners.insert(corners.end(), lower.begin() + 1, lower.end() - 1);
  return corners;
}

}  // namespace amend
