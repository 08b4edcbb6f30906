#include "metanet/data/synthetic.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>

using namespace amend;

namespace {

const SourceColumn& column(const SyntheticTable& table, const std::string& name) {
  const DatasetDescription description = synthetic_description({});
  return table.source.columns[static_cast<std::size_t>(description.find_column(name))];
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double sum_a = 0, sum_b = 0, aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum_a += a[i];
    sum_b += b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
    ab += a[i] * b[i];
  }
  return (n * ab - sum_a * sum_b) / std::sqrt((n * aa - sum_a * sum_a) * (n * bb - sum_b * sum_b));
}

std::vector<double> numbers(const std::vector<std::int32_t>& codes) { return {codes.begin(), codes.end()}; }

/// Difference of the positive rates of groups a and b.
double gap(const SyntheticTable& table) {
  std::array<double, 2> positive{}, count{};
  const auto &group = column(table, "group").code, &repaid = column(table, "repaid").code;
  for (std::size_t row = 0; row < group.size(); ++row) {
    count[static_cast<std::size_t>(group[row])] += 1;
    positive[static_cast<std::size_t>(group[row])] += repaid[row];
  }
  return positive[0] / count[0] - positive[1] / count[1];
}

}  // namespace

TEST_CASE("the synthetic set is the same for the same seed, row by row") {
  const SyntheticTable longer = generate_synthetic({.rows = 2000, .seed = 5, .bias = 1});
  const SyntheticTable shorter = generate_synthetic({.rows = 500, .seed = 5, .bias = 1});
  const SyntheticTable other = generate_synthetic({.rows = 500, .seed = 6, .bias = 1});
  const auto& skill = column(longer, "skill").number;
  CHECK(std::equal(skill.begin(), skill.begin() + 500, column(shorter, "skill").number.begin()));
  CHECK(column(other, "skill").number != column(shorter, "skill").number);
}

TEST_CASE("the synthetic label is learnable but not separable") {
  const SyntheticTable table = generate_synthetic({});
  double best = 0, positives = 0;
  for (std::size_t row = 0; row < table.probability.size(); ++row) {
    best += std::max(table.probability[row], 1 - table.probability[row]);
    positives += column(table, "repaid").code[row];
  }
  const auto rows = static_cast<double>(table.probability.size());
  CHECK(best / rows == Approx(0.82).margin(0.01));
  // Labels follow their probabilities: three standard deviations of a mean over 20,000 rows are below 0.011.
  double expected = 0;
  for (const float probability : table.probability) expected += probability;
  CHECK(positives / rows == Approx(expected / rows).margin(0.011));
  CHECK(positives / rows > 0.35);
  CHECK(positives / rows < 0.5);
}

TEST_CASE("the planted bias sets the groups apart and vanishes at zero") {
  const SyntheticTable biased = generate_synthetic({.rows = 20000, .seed = 1, .bias = 1});
  const SyntheticTable fair = generate_synthetic({.rows = 20000, .seed = 1, .bias = 0});
  CHECK(gap(biased) > 0.15);
  // Four standard deviations of a difference of two rates over 12,000 and 8,000 rows.
  CHECK(std::abs(gap(fair)) < 0.03);
  CHECK(correlation(numbers(column(biased, "group").code), column(biased, "wealth").number) < -0.3);
  CHECK(std::abs(correlation(numbers(column(fair, "group").code), column(fair, "wealth").number)) < 0.03);
  CHECK(correlation(numbers(column(biased, "group").code), numbers(column(biased, "district").code)) < -0.4);
}

TEST_CASE("redundant features copy their origin and noise knows nothing of the label") {
  const SyntheticTable table = generate_synthetic({});
  CHECK(correlation(column(table, "skill").number, column(table, "skill_test").number) > 0.9);
  CHECK(correlation(column(table, "wealth").number, column(table, "savings").number) > 0.9);
  CHECK(correlation(column(table, "experience").number, column(table, "tenure").number) > 0.85);
  const std::vector<double> label = numbers(column(table, "repaid").code);
  CHECK(correlation(column(table, "skill").number, label) > 0.25);
  CHECK(std::abs(correlation(column(table, "noise_1").number, label)) < 0.03);
  CHECK(std::abs(correlation(numbers(column(table, "noise_2").code), label)) < 0.03);
}
