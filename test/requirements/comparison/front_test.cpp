#include "requirements/comparison/front.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "engine/random.hpp"

namespace amend {

TEST_CASE("a front keeps what nothing dominates") {
  const std::vector<FrontPoint> points = {{3, 1}, {1, 3}, {2, 2}, {2, 2}, {2.5, 2}, {3, 3}, {1, 4}, {4, 1}};
  const auto front = pareto_front(points);
  REQUIRE(front.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(front[i].requirement == static_cast<double>(i + 1));
    CHECK(front[i].loss == static_cast<double>(3 - i));
  }
  CHECK(pareto_front({}).empty());
}

TEST_CASE("the hypervolume is the dominated share of the rectangle") {
  const FrontPoint reference{4, 2};
  CHECK(hypervolume({}, reference) == 0.0);
  CHECK(hypervolume(std::vector<FrontPoint>{{0, 0}}, reference) == 1.0);
  CHECK(hypervolume(std::vector<FrontPoint>{{4, 0}, {0, 2}, {5, -1}}, reference) == 0.0);
  CHECK(hypervolume(std::vector<FrontPoint>{{1, 1}}, reference) == Approx(3.0 / 8.0));
  CHECK(hypervolume(std::vector<FrontPoint>{{1, 1}, {2, 0.5}, {3, 1.5}}, reference) == Approx(4.0 / 8.0));
  // A gain counts as no loss.
  CHECK(hypervolume(std::vector<FrontPoint>{{1, -7}}, reference) == Approx(6.0 / 8.0));
}

TEST_CASE("the hypervolume agrees with counting a grid") {
  const RandomStream random(3, 1);
  std::vector<FrontPoint> points;
  for (std::uint64_t i = 0; i < 12; ++i)
    points.push_back(
        {1.3 * static_cast<double>(random.uniform(2 * i)), 0.06 * static_cast<double>(random.uniform(2 * i + 1))});
  const FrontPoint reference{1.0, 0.05};
  constexpr int kGrid = 1000;
  int dominated = 0;
  for (int x = 0; x < kGrid; ++x)
    for (int y = 0; y < kGrid; ++y) {
      const double at_x = (x + 0.5) / kGrid * reference.requirement, at_y = (y + 0.5) / kGrid * reference.loss;
      bool found = false;
      for (const FrontPoint& point : points) found = found || (point.requirement <= at_x && point.loss <= at_y);
      dominated += found;
    }
  CHECK(hypervolume(points, reference) == Approx(static_cast<double>(dominated) / kGrid / kGrid).margin(3e-3));
}

TEST_CASE("a hypervolume needs a rectangle and numbers") {
  const std::vector<FrontPoint> points = {{1, std::numeric_limits<double>::quiet_NaN()}};
  CHECK_THROWS_WITH(hypervolume(points, {2, 2}), Catch::Contains("finite points"));
  CHECK_THROWS_WITH(hypervolume({}, {0, 2}), Catch::Contains("a reference above 0"));
}

}  // namespace amend
