#include "requirements/baseline/linear_program.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "engine/error.hpp"
#include "engine/random.hpp"

using namespace amend;

namespace {

double value_of(const LinearProgram& program, const std::vector<double>& x) {
  double sum = 0.0;
  for (std::size_t c = 0; c < x.size(); ++c) sum += program.value[c] * x[c];
  return sum;
}

/// By how much x breaks the worst constraint.
double violation(const LinearProgram& program, const std::vector<double>& x) {
  double worst = 0.0;
  for (const double value : x) worst = std::max(worst, -value);
  for (std::size_t r = 0; r < program.limit.size(); ++r) {
    double sum = -program.limit[r];
    for (std::size_t c = 0; c < x.size(); ++c) sum += program.constraint[r * x.size() + c] * x[c];
    worst = std::max(worst, sum);
  }
  return worst;
}

/// Best corner of a program of three variables: all points where three constraints (those of sign among them) are
/// tight.
double best_corner(const LinearProgram& program) {
  std::vector<std::vector<double>> plane;  // a, b, c, limit
  for (std::size_t r = 0; r < program.limit.size(); ++r)
    plane.push_back(
        {program.constraint[3 * r], program.constraint[3 * r + 1], program.constraint[3 * r + 2], program.limit[r]});
  for (std::size_t c = 0; c < 3; ++c) {
    plane.push_back({0.0, 0.0, 0.0, 0.0});
    plane.back()[c] = 1.0;
  }
  const auto det = [](const std::vector<double>& a, const std::vector<double>& b, const std::vector<double>& c,
                      std::size_t i, std::size_t j, std::size_t k) {
    return a[i] * (b[j] * c[k] - b[k] * c[j]) - a[j] * (b[i] * c[k] - b[k] * c[i]) + a[k] * (b[i] * c[j] - b[j] * c[i]);
  };
  double best = -1e30;
  for (std::size_t i = 0; i < plane.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      for (std::size_t k = 0; k < j; ++k) {
        const auto &p = plane[i], &q = plane[j], &r = plane[k];
        const double d = det(p, q, r, 0, 1, 2);
        if (std::abs(d) < 1e-9) continue;
        const std::vector<double> x{det(p, q, r, 3, 1, 2) / d, det(p, q, r, 0, 3, 2) / d, det(p, q, r, 0, 1, 3) / d};
        if (violation(program, x) < 1e-9) best = std::max(best, value_of(program, x));
      }
  return best;
}

}  // namespace

TEST_CASE("a linear program worked out by hand") {
  // Dantzig's example: x <= 4, 2 y <= 12, 3 x + 2 y <= 18; 3 x + 5 y is largest at (2, 6).
  const LinearProgram program{.value = {3, 5}, .constraint = {1, 0, 0, 2, 3, 2}, .limit = {4, 12, 18}};
  const auto x = maximise(program);
  CHECK(x[0] == Approx(2.0));
  CHECK(x[1] == Approx(6.0));
}

TEST_CASE("a program that leads other rules in circles ends") {
  // Beale 1955; the optimum is 1/20 at (1/25, 0, 1, 0).
  const LinearProgram program{.value = {0.75, -150, 0.02, -6},
                              .constraint = {0.25, -60, -0.04, 9, 0.5, -90, -0.02, 3, 0, 0, 1, 0},
                              .limit = {0, 0, 1}};
  const auto x = maximise(program);
  CHECK(value_of(program, x) == Approx(0.05));
  CHECK(violation(program, x) < 1e-12);
}

TEST_CASE("random programs of three variables reach their best corner") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const RandomStream random(seed, 3);
    std::uint64_t index = 0;
    LinearProgram program;
    for (int c = 0; c < 3; ++c) program.value.push_back(random.normal(index++));
    for (int r = 0; r < 7; ++r) {
      // Several limits of 0: corners where more constraints meet than needed. The last constraint bounds everything.
      for (int c = 0; c < 3; ++c) program.constraint.push_back(r == 6 ? 1.0 : random.normal(index++));
      program.limit.push_back(r == 6 ? 5.0 : r < 2 ? 0.0 : random.uniform(1000 + index++));
    }
    const auto x = maximise(program);
    CHECK(violation(program, x) < 1e-9);
    CHECK(value_of(program, x) == Approx(best_corner(program)).margin(1e-9));
  }
}

TEST_CASE("linear programs without an optimum or a start are errors") {
  CHECK_THROWS_AS(maximise({.value = {1, 1}, .constraint = {1, -1}, .limit = {1}}), Error);
  CHECK_THROWS_AS(maximise({.value = {1}, .constraint = {1}, .limit = {-1}}), Error);
  CHECK_THROWS_AS(maximise({.value = {1}, .constraint = {1, 1}, .limit = {1}}), Error);
  CHECK(maximise({.value = {-1}, .constraint = {1}, .limit = {1}}) == std::vector<double>{0.0});
}
