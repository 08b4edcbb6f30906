#include "requirements/metric/utility.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "engine/error.hpp"

using namespace amend;

TEST_CASE("divergence agrees with SciPy, is symmetric and bounded by ln 2") {
  // SciPy 1.17.1: jensenshannon(softmax(a), softmax(b)) ** 2.
  const std::vector<float> a{0.5f, -0.25f}, b{1.5f, -1.0f};
  CHECK(row_divergence(a, b, 2).at(0) == Approx(0.05008110010815873).epsilon(1e-12));
  CHECK(row_divergence(b, a, 2).at(0) == Approx(0.05008110010815873).epsilon(1e-12));
  const std::vector<float> three{2.0f, 0.0f, -1.0f}, other{0.0f, 1.0f, 0.5f};
  CHECK(row_divergence(three, other, 3).at(0) == Approx(0.2373476754887255).epsilon(1e-12));
  CHECK(row_divergence(a, a, 2).at(0) == 0.0);
  const std::vector<float> sure{2000.0f, -2000.0f}, contrary{-2000.0f, 2000.0f};
  CHECK(row_divergence(sure, contrary, 2).at(0) == Approx(std::log(2.0)).epsilon(1e-15));
  CHECK_THROWS_AS(row_divergence(a, three, 2), Error);
}

TEST_CASE("cross divergence is the mean row divergence of every pair") {
  std::vector<float> first(2 * 5 * 3), second(4 * 5 * 3);
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = std::sin(static_cast<float>(i) * 1.7f);
  for (std::size_t i = 0; i < second.size(); ++i) second[i] = 2.0f * std::cos(static_cast<float>(i) * 0.9f);
  const auto matrix = cross_divergence(first, 2, second, 4, 3);
  REQUIRE(matrix.size() == 8);
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 4; ++j) {
      const auto rows = row_divergence(std::span(first).subspan(i * 15, 15), std::span(second).subspan(j * 15, 15), 3);
      CHECK(matrix[i * 4 + j] == Approx(std::accumulate(rows.begin(), rows.end(), 0.0) / 5).epsilon(1e-12));
    }
  CHECK_THROWS_AS(cross_divergence(first, 2, second, 3, 3), Error);
}

TEST_CASE("the predicted class is the largest logit, the first of equals") {
  const std::vector<float> logits{1.0f, 2.0f, 2.0f, 1.0f, 3.0f, 3.0f};
  CHECK(predicted_classes(logits, 2) == std::vector<std::int32_t>{1, 0, 0});
  CHECK(predicted_classes(logits, 3) == std::vector<std::int32_t>{1, 1});
  CHECK(accuracy(std::vector<std::int32_t>{1, 0, 0}, std::vector<std::int32_t>{1, 1, 0}) == Approx(2.0 / 3));
  CHECK_THROWS_AS(accuracy({}, {}), Error);
}
