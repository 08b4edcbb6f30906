#include "requirements/metric/expected_fairness.hpp"

#include <algorithm>

#include "engine/error.hpp"
#include "engine/parallel.hpp"

namespace amend {
namespace {

/// Rows of a group with one label, and how many of them are expected to be predicted 1.
struct Cell {
  std::int64_t rows = 0;
  double selected = 0.0;
};

/// Largest minus smallest rate over the groups with enough rows.
Estimate gap_of(std::span<const Cell> cells, std::span<const std::string> group_names, std::int64_t minimum_rows,
                const std::string& kind) {
  Estimate gap;
  double low = 1.0, high = 0.0;
  for (std::size_t g = 0; g < cells.size(); ++g) {
    if (cells[g].rows < std::max<std::int64_t>(minimum_rows, 1)) {
      gap.note += (gap.note.empty() ? "without " : "; without ") + group_names[g] + ": " +
                  std::to_string(cells[g].rows) + " " + kind + ", minimum " + std::to_string(minimum_rows);
      gap.left_out.push_back(group_names[g]);
      continue;
    }
    const double rate = cells[g].selected / static_cast<double>(cells[g].rows);
    low = std::min(low, rate);
    high = std::max(high, rate);
  }
  if (cells.size() - gap.left_out.size() >= 2)
    gap.value = high - low;
  else
    gap.note =
        "insufficient evidence: fewer than two groups with enough rows" + (gap.note.empty() ? "" : "; " + gap.note);
  return gap;
}

Estimate sum_of(const Estimate& first, const Estimate& second) {
  Estimate sum;
  if (first.value && second.value) sum.value = *first.value + *second.value;
  sum.note = first.note;
  if (!second.note.empty()) sum.note += (sum.note.empty() ? "" : "; ") + second.note;
  sum.left_out = first.left_out;
  for (const std::string& group : second.left_out)
    if (std::find(sum.left_out.begin(), sum.left_out.end(), group) == sum.left_out.end()) sum.left_out.push_back(group);
  return sum;
}

}  // namespace

std::vector<ExpectedFairness> expected_fairness(std::span<const double> probability,
                                                std::span<const std::int32_t> label,
                                                std::span<const std::int32_t> group,
                                                std::span<const std::string> group_names, std::int64_t minimum_rows) {
  constexpr const char* kName = "expected_fairness";
  const std::size_t rows = label.size(), groups = group_names.size();
  check(rows > 0 && group.size() == rows && probability.size() % rows == 0, kName, "got ", probability.size(),
        " probabilities, ", rows, " labels and ", group.size(), " group ids");
  for (std::size_t row = 0; row < rows; ++row)
    check((label[row] == 0 || label[row] == 1) && group[row] >= 0 && static_cast<std::size_t>(group[row]) < groups,
          kName, "row ", row, " has label ", label[row], " of two and group ", group[row], " of ", groups);
  std::vector<ExpectedFairness> result(probability.size() / rows);
  parallel_for(static_cast<std::int64_t>(result.size()), [&](std::int64_t network) {
    const std::span<const double> own = probability.subspan(static_cast<std::size_t>(network) * rows, rows);
    std::vector<Cell> positive(groups), negative(groups);
    double correct = 0.0;
    for (std::size_t row = 0; row < rows; ++row) {
      // The slack is for sums of probabilities.
      check(own[row] >= 0.0 && own[row] <= 1.0 + 1e-9, kName, "network ", network, " has probability ", own[row],
            " in row ", row);
      Cell& cell = (label[row] == 1 ? positive : negative)[static_cast<std::size_t>(group[row])];
      ++cell.rows;
      cell.selected += own[row];
      correct += label[row] == 1 ? own[row] : 1.0 - own[row];
    }
    ExpectedFairness& fairness = result[static_cast<std::size_t>(network)];
    fairness.accuracy = correct / static_cast<double>(rows);
    fairness.true_positive_gap = gap_of(positive, group_names, minimum_rows, "rows with label 1");
    fairness.false_positive_gap = gap_of(negative, group_names, minimum_rows, "rows with label 0");
    fairness.equalised_odds_sum = sum_of(fairness.true_positive_gap, fairness.false_positive_gap);
  });
  return result;
}

}  // namespace amend
