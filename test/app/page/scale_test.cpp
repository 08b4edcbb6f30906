#include "app/page/scale.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace amend::page;

namespace {

std::string labels(const Scale& scale) {
  std::string out;
  for (const Tick& tick : scale.ticks()) out += (out.empty() ? "" : " ") + tick.label;
  return out;
}

}  // namespace

TEST_CASE("a linear axis has round ticks and holds its values") {
  CHECK(labels(Scale::linear({0.0, 0.105}, 0, 100)) == "0.00 0.02 0.04 0.06 0.08 0.10");
  CHECK(labels(Scale::linear({-0.4, 4.7}, 0, 100)) == "0 1 2 3 4 5");
  CHECK(labels(Scale::linear({0.0, 100.0}, 0, 100)) == "0 20 40 60 80 100");
  CHECK(labels(Scale::linear({0.9271, 0.9785}, 0, 100)) == "0.93 0.94 0.95 0.96 0.97 0.98");
  const Scale scale = Scale::linear({0.0, 10.0}, 200, 100);
  CHECK(scale(0.0) == Approx(200));
  CHECK(scale(10.0) == Approx(100));
  CHECK(scale(2.5) == Approx(175));
  for (const Tick& tick : scale.ticks()) CHECK(tick.position == Approx(scale(tick.value)));
  CHECK(scale.gap() < 0.0);
}

TEST_CASE("a logarithmic axis has ticks at decades or between") {
  CHECK(labels(Scale::logarithmic({1e-3, 1.0}, 0, 100)) == "0.001 0.01 0.1 1");
  CHECK(labels(Scale::logarithmic({0.01, 0.5}, 0, 100)) == "0.01 0.03 0.1 0.3");
  CHECK(labels(Scale::logarithmic({1.0, 12.0}, 0, 100)) == "1 2 5 10");
  const Scale scale = Scale::logarithmic({0.01, 1.0}, 0, 100);
  CHECK(scale(0.1) == Approx(50));
  CHECK(scale(0.01) > 0.0);
  CHECK(scale(1.0) < 100.0);
  CHECK(Scale::logarithmic({1e-30, 1.0}, 0, 100).ticks().size() < 10);
  // Too short for round digits.
  CHECK(Scale::logarithmic({0.611, 0.732}, 0, 100).ticks().size() >= 3);
}

TEST_CASE("zero lies apart on a logarithmic axis") {
  const Scale scale = Scale::logarithmic({0.0, 0.01, 1.0}, 10, 110);
  REQUIRE(labels(scale).starts_with("0 0.01"));
  CHECK(scale.ticks().front().position == 10.0);
  CHECK(scale(0.0) == 10.0);
  CHECK(scale(-1.0) == 10.0);
  CHECK(scale(0.01) > scale.gap());
  CHECK(scale.gap() > 10.0);
  CHECK(labels(Scale::logarithmic({0.0}, 10, 110)).starts_with("0 "));
}

TEST_CASE("equal values get an axis with room") {
  for (const double value : {0.0, 3.0, -2.0, 1e-12, 1e12}) {
    const Scale linear = Scale::linear({value, value}, 0, 100),
                logarithmic = Scale::logarithmic({value, value}, 0, 100);
    CHECK(linear(value) >= 0.0);
    CHECK(linear(value) <= 100.0);
    CHECK(linear.ticks().size() >= 2);
    CHECK(logarithmic(value) >= 0.0);
    CHECK(logarithmic(value) <= 100.0);
  }
  CHECK(Scale::linear({}, 0, 100).ticks().size() >= 2);
  CHECK(Scale::logarithmic({}, 0, 100).ticks().size() >= 2);
}
