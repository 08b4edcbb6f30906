#include "metanet/train/scalarisation.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

double chebyshev(double divergence, const std::vector<double>& lambda, const std::vector<double>& requirement) {
  return scalarise(Scalarisation::chebyshev, divergence, lambda, requirement);
}

TEST_CASE("the linear objective is the weighted sum") {
  CHECK(scalarise(Scalarisation::linear, 0.01, std::vector{0.1, 0.0, 0.2}, std::vector{0.5, 0.7, 0.25}) ==
        Approx(0.01 + 0.05 + 0.05));
}

TEST_CASE("the Chebyshev objective is the largest term and a little of all, whatever the scale of the weights") {
  for (const double lambda : {3e-4, 0.02, 1.0}) {
    CAPTURE(lambda);
    // Terms that differ by far more than .02 in units of a requirement: the maximum.
    CHECK(chebyshev(0.3 * lambda, {lambda}, {0.9}) == Approx((0.9 + 0.05 * 1.2) * lambda));
    CHECK(chebyshev(0.9 * lambda, {lambda}, {0.3}) == Approx((0.9 + 0.05 * 1.2) * lambda));
    // Equal ones: T log 2 above.
    CHECK(chebyshev(0.5 * lambda, {lambda}, {0.5}) == Approx((0.5 + 0.02 * std::log(2.0) + 0.05) * lambda));
  }
  // The temperature is that of the geometric mean of the weights in force; what is off does not count as a term of 0.
  CHECK(chebyshev_temperature(std::vector{0.01, 0.0, 0.04}) == Approx(0.02 * 0.02));
  CHECK(chebyshev_temperature(std::vector{0.0, 0.0}) == Approx(0.02));
  CHECK(chebyshev(1e-4, {0.01, 0.0}, {0.01, 0.8}) == Approx(chebyshev(1e-4, {0.01}, {0.01})));
}

TEST_CASE("the Chebyshev objective reaches a front that bulges, where the weighted sum only reaches its ends") {
  // A quarter of a circle around the ideal point: of all its points the ends have the least weighted sum.
  const auto best = [](Scalarisation kind, double lambda) {
    double least = std::numeric_limits<double>::infinity(), at = -1.0;
    for (int k = 0; k <= 1000; ++k) {
      const double r = k / 1000.0, d = 0.03 * std::sqrt(1.0 - r * r);
      const double value = scalarise(kind, d, std::vector{lambda}, std::vector{r});
      if (value < least) least = value, at = r;
    }
    return at;
  };
  double before = 1.0;
  for (const double lambda : {0.015, 0.03, 0.06}) {
    const double end = best(Scalarisation::linear, lambda), inside = best(Scalarisation::chebyshev, lambda);
    CAPTURE(lambda, end, inside);
    CHECK((end == 0.0 || end == 1.0));
    // Where both terms are equal: r / sqrt(1 - r^2) = .03 / lambda.
    const double ratio = 0.03 / lambda;
    CHECK(inside == Approx(ratio / std::sqrt(1.0 + ratio * ratio)).margin(0.03));
    CHECK(inside < before);
    before = inside;
  }
}

struct Case {
  std::vector<double> lambda;              // (networks, requirements)
  std::vector<std::vector<double>> terms;  // per term: (networks)
  std::vector<double> coefficient;

  std::size_t networks() const { return coefficient.size(); }
  std::size_t requirements() const { return terms.size() - 1; }
  double objective() const {
    double sum = 0.0;
    for (std::size_t n = 0; n < networks(); ++n) {
      std::vector<double> requirement;
      for (std::size_t r = 0; r < requirements(); ++r) requirement.push_back(terms[r + 1][n]);
      sum += coefficient[n] * scalarise(Scalarisation::chebyshev, terms[0][n],
                                        std::span(lambda).subspan(n * requirements(), requirements()), requirement);
    }
    return sum;
  }
};

/// Networks whose terms are near each other, as small as one that is off, 0, and far apart.
Case some_case(std::size_t requirements) {
  Case c{.lambda = {}, .terms = {{3e-4, 1e-4, 0.0, 0.05}}, .coefficient = {0.7, 0.1, 1.3, 0.4}};
  for (std::size_t r = 0; r < requirements; ++r)
    c.terms.push_back({r == 0 ? 0.15 : 0.0101, 0.02, 0.9 - 0.2 * static_cast<double>(r), 0.04});
  for (std::size_t n = 0; n < 4; ++n)
    for (std::size_t r = 0; r < requirements; ++r)
      c.lambda.push_back(r > 0 && n == r ? 0.0 : (r == 0 ? 0.002 : 0.03) * (1.0 + static_cast<double>(n)));
  return c;
}

struct Outcome {
  double total = 0.0;
  std::vector<std::vector<double>> gradient, slope;  // per term: (networks)
};

Outcome run(const Case& c, DType dtype, double earlier = 0.0) {
  Arena arena;
  Tape tape(arena, Stream{}), inner(arena, Stream{});
  const auto networks = static_cast<std::int64_t>(c.networks()), count = static_cast<std::int64_t>(c.terms.size());
  const ChebyshevScales scales = stage_chebyshev(c.lambda, c.requirements(), arena, dtype);
  arena.upload(Stream{});
  std::vector<Tensor> value, grad;
  std::vector<Variable> terms;
  for (const auto& term : c.terms) {
    value.push_back(test::make_tensor({networks}, dtype, term));
    grad.push_back(test::make_tensor({networks}, dtype, std::vector<double>(c.networks(), 0.0)));
    terms.push_back(tape.leaf(value.back(), grad.back()));
  }
  const Tensor coefficient = test::make_tensor({networks}, dtype, c.coefficient),
               slope =
                   test::make_tensor({count, networks}, dtype, std::vector<double>(c.terms.size() * c.networks(), 9.0)),
               first = test::make_tensor({1}, dtype, {earlier});
  const Variable total =
      add_chebyshev(tape, inner, earlier == 0.0 ? Variable() : tape.constant(first), terms, scales, coefficient, slope);
  tape.backward(total);
  Outcome outcome{.total = test::values(total.value())[0], .gradient = {}, .slope = {}};
  const std::vector<double> slopes = test::values(slope);
  for (std::size_t i = 0; i < c.terms.size(); ++i) {
    outcome.gradient.push_back(test::values(grad[i]));
    outcome.slope.emplace_back(slopes.begin() + static_cast<std::ptrdiff_t>(i * c.networks()),
                               slopes.begin() + static_cast<std::ptrdiff_t>((i + 1) * c.networks()));
  }
  return outcome;
}

TEST_CASE("add_chebyshev: value and gradient are those of the objective, by finite differences in float64") {
  const std::size_t requirements = GENERATE(1, 2, 3);
  CAPTURE(requirements);
  const Case c = some_case(requirements);
  const Outcome outcome = run(c, DType::float64);
  CHECK(outcome.total == Approx(c.objective()).epsilon(1e-12));
  CHECK(run(c, DType::float64, 0.25).total == Approx(0.25 + c.objective()).epsilon(1e-12));
  double softened = 0.0;  // how much the maximum is shared
  for (std::size_t i = 0; i < c.terms.size(); ++i)
    for (std::size_t n = 0; n < c.networks(); ++n) {
      const double step = 1e-8;
      Case above = c, below = c;
      above.terms[i][n] += step;
      below.terms[i][n] -= step;
      const double expected = (above.objective() - below.objective()) / (2.0 * step);
      INFO("term " << i << " of network " << n);
      // Steps of 1e-8 lose half the digits of values below 1.
      CHECK(outcome.gradient[i][n] == Approx(expected).margin(1e-7));
      CHECK(outcome.slope[i][n] == outcome.gradient[i][n]);
      const double weight = i == 0 ? 1.0 : c.lambda[n * requirements + i - 1];
      if (weight == 0.0) {
        CHECK(outcome.gradient[i][n] == 0.0);
        continue;
      }
      const double share = outcome.gradient[i][n] / (weight * c.coefficient[n]) - kChebyshevAugmentation;
      CHECK(share > -1e-12);
      CHECK(share < 1.0 + 1e-12);
      softened = std::max(softened, std::min(share, 1.0 - share));
    }
  CHECK(softened > 0.1);
}

TEST_CASE("add_chebyshev in float32 is that in float64 to rounding, and each network's own") {
  const Case c = some_case(2);
  const Outcome exact = run(c, DType::float64), rounded = run(c, DType::float32);
  CHECK(rounded.total == Approx(exact.total).epsilon(1e-6));
  for (std::size_t i = 0; i < c.terms.size(); ++i)
    for (std::size_t n = 0; n < c.networks(); ++n) {
      // Logits of up to 100, whose rounding is that of the exponent.
      CHECK(rounded.gradient[i][n] ==
            Approx(exact.gradient[i][n]).margin(100.0 * test::tolerance("cross_entropy", DType::float32, 1.0)));
      Case alone{.lambda = {c.lambda[2 * n], c.lambda[2 * n + 1]}, .terms = {}, .coefficient = {c.coefficient[n]}};
      for (const auto& term : c.terms) alone.terms.push_back({term[n]});
      CHECK(run(alone, DType::float32).gradient[i][0] == rounded.gradient[i][n]);
    }
}

}  // namespace
}  // namespace amend
