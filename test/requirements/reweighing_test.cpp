#include "requirements/baseline/reweighing.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/error.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;

namespace {

std::vector<std::int32_t> integers(std::int64_t rows, std::int32_t bound, std::uint64_t seed) {
  const Tensor x = random_integers({rows}, bound, seed);
  return {x.as<std::int32_t>(), x.as<std::int32_t>() + rows};
}

}  // namespace

TEST_CASE("reweighing gives the weights of the paper's example") {
  // Kamiran and Calders 2012, ten applicants for a job: 5 women, 2 of them accepted, and 5 men, 4 of them accepted.
  const std::vector<std::int32_t> group{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}, label{1, 1, 0, 0, 0, 1, 1, 1, 1, 0};
  const auto weight = reweighing_weights(label, group, 2, 2);
  const double expected[] = {1.5, 1.5, 2.0 / 3, 2.0 / 3, 2.0 / 3, 0.75, 0.75, 0.75, 0.75, 2.0};
  for (std::size_t row = 0; row < 10; ++row) CHECK(weight[row] == Approx(expected[row]));
}

TEST_CASE("weighted, label and group are independent and keep their frequencies") {
  const std::int64_t rows = 500;
  const std::vector<std::int32_t> group = integers(rows, 3, 1);
  std::vector<std::int32_t> label = integers(rows, 4, 2);
  for (std::size_t row = 0; row < label.size(); ++row)
    if (group[row] == 1 && row % 3 != 0) label[row] = 2;       // far from independent
  const auto weight = reweighing_weights(label, group, 4, 5);  // groups 3 and 4 have no rows
  double both[3][4] = {}, counted[3][4] = {};
  for (std::size_t row = 0; row < label.size(); ++row) {
    both[group[row]][label[row]] += weight[row] / rows;
    counted[group[row]][label[row]] += 1.0 / rows;
  }
  const auto of_group = [](const double(&x)[3][4], int s) { return x[s][0] + x[s][1] + x[s][2] + x[s][3]; };
  const auto of_label = [](const double(&x)[3][4], int y) { return x[0][y] + x[1][y] + x[2][y]; };
  double dependence = 0.0;
  for (int s = 0; s < 3; ++s) {
    CHECK(of_group(both, s) == Approx(of_group(counted, s)));
    for (int y = 0; y < 4; ++y) {
      CHECK(of_label(both, y) == Approx(of_label(counted, y)));
      CHECK(both[s][y] == Approx(of_group(counted, s) * of_label(counted, y)));
      dependence += std::abs(counted[s][y] - of_group(counted, s) * of_label(counted, y));
    }
  }
  CHECK(dependence > 0.1);
  CHECK(std::accumulate(weight.begin(), weight.end(), 0.0) / rows == Approx(1.0));

  const auto probability = reweighing_probabilities(label, group, 4, 5);
  CHECK(std::accumulate(probability.begin(), probability.end(), 0.0) == Approx(1.0));
  for (std::size_t row = 0; row < label.size(); ++row) CHECK(probability[row] * rows == Approx(weight[row]));
}

TEST_CASE("rows that are independent already weigh 1") {
  const std::vector<std::int32_t> group{0, 0, 0, 1, 1, 1}, label{1, 0, 0, 1, 0, 0};
  CHECK(reweighing_weights(label, group, 2, 2) == std::vector<double>(6, 1.0));
}

TEST_CASE("reweighing says what does not fit") {
  const std::vector<std::int32_t> group{0, 0, 1, 1}, label{1, 0, 0, 0};
  // Nothing makes up for positives that group 1 does not have.
  CHECK_THROWS_WITH(reweighing_weights(label, group, 2, 2), Catch::Contains("group 1 has no row with label 1"));
  CHECK_THROWS_AS(reweighing_probabilities(label, group, 2, 2), Error);
  const std::vector<std::int32_t> good{1, 0, 1, 0}, outside{1, 0, 2, 0}, negative{1, -1, 1, 0};
  CHECK_NOTHROW(reweighing_weights(good, group, 2, 2));
  CHECK_NOTHROW(reweighing_weights(good, group, 3, 3));
  CHECK_THROWS_AS(reweighing_weights(outside, group, 2, 2), Error);
  CHECK_THROWS_AS(reweighing_weights(negative, group, 2, 2), Error);
  CHECK_THROWS_AS(reweighing_weights(good, outside, 2, 2), Error);
  CHECK_THROWS_AS(reweighing_weights(good, negative, 2, 2), Error);
  CHECK_THROWS_AS(reweighing_weights(std::vector<std::int32_t>{1, 0}, group, 2, 2), Error);
  CHECK_THROWS_AS(reweighing_weights({}, {}, 2, 2), Error);
}
