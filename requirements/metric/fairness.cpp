#include "requirements/metric/fairness.hpp"

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"

namespace amend {
namespace {

/// A rate with what it was counted from.
Estimate rate(std::int64_t successes, std::int64_t trials, std::int64_t minimum, const std::string& kind) {
  Estimate estimate;
  if (trials < std::max<std::int64_t>(minimum, 1)) {
    estimate.note = trials == 0
                        ? "no " + kind
                        : "only " + std::to_string(trials) + " " + kind + ", minimum " + std::to_string(minimum);
    return estimate;
  }
  estimate.value = static_cast<double>(successes) / static_cast<double>(trials);
  estimate.interval = wilson_interval(static_cast<double>(successes), trials);
  return estimate;
}

/// One rate over the groups.
struct RateOfGroups {
  Estimate GroupRates::*rate;
  std::int64_t (*successes)(const GroupCounts&);
  std::int64_t (*trials)(const GroupCounts&);
};

const RateOfGroups kSelectionRate{&GroupRates::selection_rate, [](const GroupCounts& c) { return c.selected; },
                                  [](const GroupCounts& c) { return c.rows; }};
const RateOfGroups kTruePositiveRate{&GroupRates::true_positive_rate,
                                     [](const GroupCounts& c) { return c.true_positives; },
                                     [](const GroupCounts& c) { return c.positives; }};
const RateOfGroups kFalsePositiveRate{&GroupRates::false_positive_rate,
                                      [](const GroupCounts& c) { return c.false_positives; },
                                      [](const GroupCounts& c) { return c.rows - c.positives; }};

struct Gap {
  Estimate worst;     // largest minus smallest
  Estimate pairwise;  // mean |difference| over all pairs of groups
};

void append(std::string& note, const std::string& text) {
  if (text.empty() || note.find(text) != std::string::npos) return;
  if (!note.empty()) note += "; ";
  note += text;
}

void leave_out(Estimate& gap, const std::string& group, const std::string& why) {
  append(gap.note, "without " + group + ": " + why);
  gap.left_out.push_back(group);
}

Gap gap_of(const std::vector<GroupRates>& groups, const RateOfGroups& kind) {
  Gap gap;
  std::vector<const GroupRates*> known;
  for (const GroupRates& group : groups) {
    const Estimate& estimate = group.*kind.rate;
    if (estimate.value)
      known.push_back(&group);
    else
      leave_out(gap.worst, group.name, estimate.note);
  }
  gap.pairwise.left_out = gap.worst.left_out;
  if (known.size() < 2) {
    gap.worst.note = "insufficient evidence: fewer than two groups with enough rows" +
                     (gap.worst.note.empty() ? "" : "; " + gap.worst.note);
    gap.pairwise.note = gap.worst.note;
    return gap;
  }
  const auto value = [&](const GroupRates* group) { return *(group->*kind.rate).value; };
  const auto [low, high] = std::minmax_element(known.begin(), known.end(),
                                               [&](const auto* a, const auto* b) { return value(a) < value(b); });
  gap.worst.value = value(*high) - value(*low);
  const GroupCounts &top = (*high)->count, &bottom = (*low)->count;
  Interval interval = newcombe_interval(static_cast<double>(kind.successes(top)), kind.trials(top),
                                        static_cast<double>(kind.successes(bottom)), kind.trials(bottom));
  interval.low = std::max(0.0, interval.low);
  gap.worst.interval = interval;

  double sum = 0.0;
  for (std::size_t a = 0; a < known.size(); ++a)
    for (std::size_t b = a + 1; b < known.size(); ++b) sum += std::abs(value(known[a]) - value(known[b]));
  gap.pairwise.value = sum / (0.5 * static_cast<double>(known.size() * (known.size() - 1)));
  gap.pairwise.note = gap.worst.note;
  return gap;
}

/// Combines two gaps, if both are known; otherwise says why not. What either leaves out is left out of the result.
template <class Combine>
Estimate combine(const Estimate& first, const Estimate& second, const Combine& how) {
  Estimate result;
  if (first.value && second.value) how(result);
  append(result.note, first.note);
  append(result.note, second.note);
  for (const Estimate* part : {&first, &second})
    for (const std::string& group : part->left_out)
      if (std::find(result.left_out.begin(), result.left_out.end(), group) == result.left_out.end())
        result.left_out.push_back(group);
  return result;
}

Estimate larger(const Estimate& first, const Estimate& second) {
  return combine(first, second, [&](Estimate& result) {
    const Estimate& winner = *first.value >= *second.value ? first : second;
    result.value = winner.value;
    result.interval = winner.interval;
  });
}

Estimate scaled_sum(const Estimate& first, const Estimate& second, double scale) {
  return combine(first, second, [&](Estimate& result) {
    result.value = scale * (*first.value + *second.value);
    const Interval sum = sum_interval(*first.value, *first.interval, *second.value, *second.interval);
    result.interval = Interval{std::max(0.0, scale * sum.low), scale * sum.high};
  });
}

}  // namespace

FairnessMetrics fairness_metrics(std::span<const std::int32_t> predicted, std::span<const std::int32_t> label,
                                 std::span<const std::int32_t> group, std::span<const std::string> group_names,
                                 int classes, std::int64_t minimum_rows) {
  check(predicted.size() == label.size() && group.size() == label.size(), "fairness_metrics", "got ", predicted.size(),
        " predictions, ", label.size(), " labels and ", group.size(), " group ids");
  FairnessMetrics metrics;
  for (const std::string& name : group_names) metrics.groups.emplace_back().name = name;
  for (std::size_t row = 0; row < label.size(); ++row) {
    check(group[row] >= 0 && static_cast<std::size_t>(group[row]) < group_names.size(), "fairness_metrics", "row ", row,
          " has group ", group[row], " of ", group_names.size());
    check(label[row] >= 0 && label[row] < classes && predicted[row] >= 0 && predicted[row] < classes,
          "fairness_metrics", "row ", row, " has label ", label[row], " and prediction ", predicted[row], " of ",
          classes, " classes");
    GroupCounts& count = metrics.groups[static_cast<std::size_t>(group[row])].count;
    const bool positive = label[row] == 1, selected = predicted[row] == 1;
    count.rows += 1;
    count.positives += positive;
    count.correct += label[row] == predicted[row];
    count.selected += selected;
    count.true_positives += positive && selected;
    count.false_positives += !positive && selected;
  }
  for (GroupRates& rates : metrics.groups) {
    const GroupCounts& count = rates.count;
    rates.accuracy = rate(count.correct, count.rows, minimum_rows, "rows");
    if (classes != 2) {
      rates.selection_rate.note = rates.true_positive_rate.note = rates.false_positive_rate.note =
          "defined for two classes, the dataset has " + std::to_string(classes);
      continue;
    }
    rates.selection_rate = rate(count.selected, count.rows, minimum_rows, "rows");
    rates.true_positive_rate = rate(count.true_positives, count.positives, minimum_rows, "rows with label 1");
    rates.false_positive_rate =
        rate(count.false_positives, count.rows - count.positives, minimum_rows, "rows with label 0");
  }
  const Gap selection = gap_of(metrics.groups, kSelectionRate);
  const Gap true_positive = gap_of(metrics.groups, kTruePositiveRate);
  const Gap false_positive = gap_of(metrics.groups, kFalsePositiveRate);
  metrics.demographic_parity_difference = selection.worst;
  metrics.equal_opportunity_difference = true_positive.worst;
  metrics.equalised_odds_difference = larger(true_positive.worst, false_positive.worst);
  metrics.equalised_odds_sum = scaled_sum(true_positive.worst, false_positive.worst, 1.0);
  metrics.equalised_odds_mean = scaled_sum(true_positive.worst, false_positive.worst, 0.5);
  metrics.equalised_odds_pairwise = larger(true_positive.pairwise, false_positive.pairwise);
  return metrics;
}

}  // namespace amend
