#include "requirements/metric/interval.hpp"

#include <omp.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "engine/error.hpp"
#include "engine/random.hpp"

using namespace amend;

namespace {

Approx exactly(double value) { return Approx(value).margin(1e-12); }

}  // namespace

TEST_CASE("Wilson intervals agree with published and statsmodels values") {
  // Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3, prints four digits; the rest is statsmodels
  // 0.15.0, proportion_confint(method="wilson").
  struct Case {
    double successes;
    std::int64_t trials;
    double low, high;
  };
  const Case cases[] = {{81, 263, 0.2552885198782742, 0.36620957698280004},
                        {15, 148, 0.06238639953073628, 0.16048724172330803},
                        {0, 20, 0.0, 0.1611251580528194},
                        {1, 29, 0.006113214292762667, 0.17175521879320294},
                        {29, 29, 0.8830302015002592, 1.0},
                        {48, 80, 0.4904546500516038, 0.7003817240412906}};
  for (const Case& c : cases) {
    const Interval interval = wilson_interval(c.successes, c.trials);
    CHECK(interval.low == exactly(c.low));
    CHECK(interval.high == exactly(c.high));
  }
  CHECK_THROWS_AS(wilson_interval(0, 0), Error);
  CHECK_THROWS_AS(wilson_interval(3, 2), Error);
}

TEST_CASE("Newcombe intervals agree with published and statsmodels values") {
  // Newcombe, Statistics in Medicine 17 (1998) 873, table II, method 10 prints the first two to four digits; all digits
  // are statsmodels 0.15.0, confint_proportions_2indep(method="newcomb", compare="diff").
  const Interval a = newcombe_interval(56, 70, 48, 80);
  CHECK(a.low == exactly(0.05243147240236498));
  CHECK(a.high == exactly(0.33387265403690614));
  const Interval b = newcombe_interval(9, 10, 3, 10);
  CHECK(b.low == exactly(0.1705227239345029));
  CHECK(b.high == exactly(0.809017973535488));
  const Interval c = newcombe_interval(0, 20, 0, 10);
  CHECK(c.low == exactly(-0.27753279986288926));
  CHECK(c.high == exactly(0.1611251580528194));
  const Interval d = newcombe_interval(10, 10, 0, 20);
  CHECK(d.low == exactly(0.6790860371419145));
  CHECK(d.high == exactly(1.0));
}

TEST_CASE("the interval of a sum adds half-widths as independent errors") {
  const Interval sum = sum_interval(0.1, {0.07, 0.13}, 0.2, {0.16, 0.24});
  CHECK(sum.low == exactly(0.25));  // 3-4-5 triangle
  CHECK(sum.high == exactly(0.35));
}

TEST_CASE("bootstrap intervals cover the mean as the normal approximation does, and pair the series") {
  constexpr std::int64_t kUnits = 4000;
  const RandomStream random(7, 1);
  std::vector<double> values(3 * kUnits);
  double sum = 0.0, squares = 0.0;
  for (std::int64_t i = 0; i < kUnits; ++i) {
    const double x = 2.0 + random.normal(static_cast<std::uint64_t>(i));
    sum += x, squares += x * x;
    values[static_cast<std::size_t>(i)] = x;
    values[static_cast<std::size_t>(kUnits + i)] = x - 10.0;
    values[static_cast<std::size_t>(2 * kUnits + i)] = 0.25;
  }
  const double mean = sum / kUnits, error = std::sqrt((squares / kUnits - mean * mean) / kUnits);
  const auto intervals = bootstrap_intervals(values, 3, 11);
  // With 1,000 replicates a percentile is uncertain by about a tenth of a standard error.
  CHECK(intervals[0].low == Approx(mean - 1.96 * error).margin(0.3 * error));
  CHECK(intervals[0].high == Approx(mean + 1.96 * error).margin(0.3 * error));
  CHECK(intervals[1].low == Approx(intervals[0].low - 10.0));  // the same rows are drawn for every series
  CHECK(intervals[1].high == Approx(intervals[0].high - 10.0));
  CHECK(intervals[2].low == Approx(0.25));
  CHECK(intervals[2].high == Approx(0.25));
  CHECK(bootstrap_intervals(values, 3, 12)[0].low != intervals[0].low);
  CHECK_THROWS_AS(bootstrap_intervals(values, 7, 1), Error);
}

TEST_CASE("a mean needs values") {
  CHECK(mean(std::vector<double>{1.0, 2.0, 6.0}) == 3.0);
  CHECK_THROWS(mean(std::vector<double>{}));
}

TEST_CASE("bootstrap intervals are the same bits for any number of threads") {
  std::vector<double> values(500);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i));
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = bootstrap_intervals(values, 5, 3);
  omp_set_num_threads(4);
  const auto four = bootstrap_intervals(values, 5, 3);
  omp_set_num_threads(threads);
  for (std::size_t s = 0; s < one.size(); ++s) {
    CHECK(one[s].low == four[s].low);
    CHECK(one[s].high == four[s].high);
  }
}
