#include "requirements/metric/fairness.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "engine/error.hpp"

using namespace amend;

namespace {

struct Sample {
  std::vector<std::int32_t> predicted, label, group;
};

/// 60 rows in three groups by integer formulas; the reference values below were computed from the same formulas.
Sample reference_sample() {
  Sample sample;
  for (int i = 0; i < 60; ++i) {
    sample.label.push_back((i * 7 + 3) % 5 < 2);
    sample.predicted.push_back((i * i * 3 + i * 5 + 1) % 11 < 5);
    sample.group.push_back((i * i + i / 4) % 3);
  }
  return sample;
}

const std::vector<std::string> kGroups{"a", "b", "c"};

/// Adds `count` rows of one kind.
void add(Sample& sample, int group, int label, int predicted, int count) {
  for (int i = 0; i < count; ++i) {
    sample.group.push_back(group);
    sample.label.push_back(label);
    sample.predicted.push_back(predicted);
  }
}

FairnessMetrics measure(const Sample& sample, const std::vector<std::string>& names, std::int64_t minimum) {
  return fairness_metrics(sample.predicted, sample.label, sample.group, names, 2, minimum);
}

}  // namespace

TEST_CASE("fairness metrics agree with Fairlearn") {
  // Fairlearn 0.15.0 and scikit-learn 1.9.1: MetricFrame by group, confusion_matrix by group, the three differences.
  const FairnessMetrics metrics = measure(reference_sample(), kGroups, 1);
  struct Reference {
    double accuracy, selection, true_positive, false_positive;
    std::int64_t true_negatives, false_positives, false_negatives, true_positives;
  };
  const Reference reference[] = {
      {0.48, 0.52, 0.5, 0.5333333333333333, 7, 8, 5, 5},
      {0.3333333333333333, 0.5333333333333333, 0.3333333333333333, 0.6666666666666666, 3, 6, 4, 2},
      {0.6, 0.6, 0.75, 0.5, 6, 6, 2, 6},
  };
  for (std::size_t g = 0; g < 3; ++g) {
    const GroupRates& rates = metrics.groups[g];
    CHECK(*rates.accuracy.value == Approx(reference[g].accuracy).epsilon(1e-12));
    CHECK(*rates.selection_rate.value == Approx(reference[g].selection).epsilon(1e-12));
    CHECK(*rates.true_positive_rate.value == Approx(reference[g].true_positive).epsilon(1e-12));
    CHECK(*rates.false_positive_rate.value == Approx(reference[g].false_positive).epsilon(1e-12));
    CHECK(rates.count.true_positives == reference[g].true_positives);
    CHECK(rates.count.false_positives == reference[g].false_positives);
    CHECK(rates.count.positives - rates.count.true_positives == reference[g].false_negatives);
    CHECK(rates.count.rows - rates.count.positives - rates.count.false_positives == reference[g].true_negatives);
  }
  CHECK(*metrics.demographic_parity_difference.value == Approx(0.07999999999999996).epsilon(1e-12));
  CHECK(*metrics.equalised_odds_difference.value == Approx(0.4166666666666667).epsilon(1e-12));
  CHECK(*metrics.equalised_odds_mean.value == Approx(0.29166666666666663).epsilon(1e-12));
  CHECK(*metrics.equal_opportunity_difference.value == Approx(0.4166666666666667).epsilon(1e-12));
  CHECK(*metrics.equalised_odds_sum.value == Approx(2 * 0.29166666666666663).epsilon(1e-12));
  // By hand: true-positive rates 1/2, 1/3, 3/4 differ by 1/6, 1/4, 5/12; false-positive rates 8/15, 2/3, 1/2 by less.
  CHECK(*metrics.equalised_odds_pairwise.value == Approx((1.0 / 6 + 1.0 / 4 + 5.0 / 12) / 3).epsilon(1e-12));
}

TEST_CASE("gaps carry Newcombe intervals of the two extreme groups") {
  Sample sample;
  add(sample, 0, 1, 1, 56), add(sample, 0, 1, 0, 14);
  add(sample, 1, 1, 1, 48), add(sample, 1, 1, 0, 32);
  const FairnessMetrics metrics = measure(sample, {"a", "b"}, 20);
  CHECK(*metrics.equal_opportunity_difference.value == Approx(0.2));
  CHECK(metrics.equal_opportunity_difference.interval->low == Approx(0.05243147240236498));
  CHECK(metrics.equal_opportunity_difference.interval->high == Approx(0.33387265403690614));
  // Nobody has label 0: no false-positive rate, and nothing that needs one.
  CHECK_FALSE(metrics.groups[0].false_positive_rate.value);
  CHECK(metrics.groups[0].false_positive_rate.note == "no rows with label 0");
  CHECK_FALSE(metrics.equalised_odds_difference.value);
  CHECK_FALSE(metrics.equalised_odds_sum.value);
  CHECK_THAT(metrics.equalised_odds_difference.note, Catch::Contains("insufficient evidence"));
}

TEST_CASE("equal groups have a gap of 0 whose interval does not go below it") {
  Sample sample;
  for (int group : {0, 1}) add(sample, group, 1, 1, 30), add(sample, group, 1, 0, 10), add(sample, group, 0, 1, 40);
  const FairnessMetrics metrics = measure(sample, {"a", "b"}, 20);
  CHECK(*metrics.equalised_odds_difference.value == 0.0);
  CHECK(metrics.equal_opportunity_difference.interval->low == 0.0);
  CHECK(metrics.equal_opportunity_difference.interval->high > 0.1);
}

TEST_CASE("a small group is insufficient evidence, never 0") {
  Sample sample;
  for (int group : {0, 1})
    add(sample, group, 1, 1, 30), add(sample, group, 1, 0, 10 * (1 + group)), add(sample, group, 0, 1, 20),
        add(sample, group, 0, 0, 20);
  add(sample, 2, 1, 0, 19), add(sample, 2, 0, 0, 20);
  const std::vector<std::string> names{"a", "b", "c", "nobody"};
  const FairnessMetrics metrics = measure(sample, names, 20);
  CHECK_FALSE(metrics.groups[2].true_positive_rate.value);
  CHECK(metrics.groups[2].true_positive_rate.note == "only 19 rows with label 1, minimum 20");
  CHECK(*metrics.groups[2].false_positive_rate.value == 0.0);  // 20 rows are enough to say so
  CHECK_FALSE(metrics.groups[3].accuracy.value);
  CHECK(metrics.groups[3].accuracy.note == "no rows");
  // Without c the true-positive rates are 3/4 and 3/5; with it the gap would be 3/4.
  CHECK(*metrics.equal_opportunity_difference.value == Approx(0.15));
  CHECK_THAT(metrics.equal_opportunity_difference.note,
             Catch::Contains("without c: only 19 rows with label 1, minimum 20"));
  CHECK_THAT(metrics.equal_opportunity_difference.note, Catch::Contains("without nobody"));
  // What a gap leaves out is left out of everything made of it; the false-positive rate of c is known.
  const std::vector<std::string> both{"c", "nobody"}, nobody{"nobody"};
  CHECK(metrics.equal_opportunity_difference.left_out == both);
  CHECK(metrics.demographic_parity_difference.left_out == nobody);
  for (const Estimate* odds : {&metrics.equalised_odds_difference, &metrics.equalised_odds_sum,
                               &metrics.equalised_odds_mean, &metrics.equalised_odds_pairwise}) {
    CHECK(odds->left_out == both);
    CHECK(odds->partial());
  }
  CHECK(measure(sample, names, 19).equalised_odds_difference.left_out == nobody);
  CHECK_FALSE(measure(reference_sample(), kGroups, 1).equalised_odds_difference.partial());
  CHECK(*metrics.demographic_parity_difference.value == Approx(50.0 / 80));
  CHECK(*measure(sample, names, 19).equal_opportunity_difference.value == Approx(0.75));
  // However low the minimum, a rate over no rows does not exist.
  CHECK_FALSE(measure(sample, names, 0).groups[3].selection_rate.value);
}

TEST_CASE("more than two classes have group accuracies only") {
  const std::vector<std::int32_t> label{0, 1, 2, 2}, predicted{0, 1, 2, 0}, group{0, 0, 1, 1};
  const FairnessMetrics metrics = fairness_metrics(predicted, label, group, std::vector<std::string>{"a", "b"}, 3, 1);
  CHECK(*metrics.groups[0].accuracy.value == 1.0);
  CHECK(*metrics.groups[1].accuracy.value == 0.5);
  CHECK_FALSE(metrics.groups[0].selection_rate.value);
  CHECK_FALSE(metrics.demographic_parity_difference.value);
  CHECK_THAT(metrics.demographic_parity_difference.note, Catch::Contains("two classes"));
  CHECK_THROWS_AS(fairness_metrics(predicted, label, group, std::vector<std::string>{"a", "b"}, 2, 1), Error);
  CHECK_THROWS_AS(fairness_metrics(predicted, label, group, std::vector<std::string>{"a"}, 3, 1), Error);
}
