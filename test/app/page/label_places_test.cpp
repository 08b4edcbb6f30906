#include "app/page/label_places.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

using namespace amend::page;

TEST_CASE("labels that have room stay, others move apart") {
  CHECK(spread({10, 50, 90}, 12, 0, 100) == std::vector<double>{10, 50, 90});
  CHECK(spread({50, 50}, 12, 0, 100) == std::vector<double>{44, 56});
  CHECK(spread({98, 99}, 12, 0, 100) == std::vector<double>{88, 100});  // the end of the room
  CHECK(spread({}, 12, 0, 100).empty());
  const std::vector<double> wanted{70, 3, 5, 71, 4, 72, 40, 99, 98};
  const std::vector<double> places = spread(wanted, 10, 0, 100);
  std::vector<double> sorted = places;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 1; i < sorted.size(); ++i) CHECK(sorted[i] - sorted[i - 1] >= 10 - 1e-9);
  CHECK(sorted.front() >= 0.0);
  CHECK(sorted.back() <= 100.0);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    for (std::size_t j = 0; j < wanted.size(); ++j)
      if (wanted[i] < wanted[j]) CHECK(places[i] < places[j]);
  CHECK(spread({1, 2, 3}, 60, 0, 100).size() == 3);  // more than there is room for
}

TEST_CASE("labels beside points keep off each other and inside") {
  const Box frame{0, 0, 300, 200};
  const std::vector<LabelledPoint> points{{100, 100, 60}, {110, 102, 60}, {120, 98, 60}, {280, 100, 60}};
  const std::vector<LabelPlace> places = beside(points, 14, frame);
  REQUIRE(places.size() == points.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    CHECK(places[i].x >= frame.left);
    CHECK(places[i].x + points[i].width <= frame.right);
    for (std::size_t j = i + 1; j < places.size(); ++j)
      CHECK((std::abs(places[i].y - places[j].y) >= 13 || places[i].x + points[i].width <= places[j].x ||
             places[j].x + points[j].width <= places[i].x));
  }
}

TEST_CASE("the width of a text counts its characters") {
  CHECK(text_width("\u00e9\u4e2d", 10) == text_width("ab", 10));
  CHECK(text_width("abcd", 10) == Approx(2 * text_width("ab", 10)));
}
