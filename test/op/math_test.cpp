#include "kernels/math.hpp"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>

namespace amend {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Calls `body` with every `stride`-th float of [low, high], both of one sign.
template <class Body>
void sweep(float low, float high, const Body& body, std::uint32_t stride = 997) {
  std::uint32_t first = std::bit_cast<std::uint32_t>(low), last = std::bit_cast<std::uint32_t>(high);
  if (first > last) std::swap(first, last);
  for (std::uint64_t bits = first; bits <= last; bits += stride)
    body(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  body(high);
}

/// The same over both signs, from the smallest normal number on.
template <class Body>
void sweep_both(float high, const Body& body) {
  sweep(std::numeric_limits<float>::min(), high, body);
  sweep(-std::numeric_limits<float>::min(), -high, body);
  body(0.0f);
}

/// Largest value of `error(x)`.
template <class Error>
double worst_of(float high, const Error& error) {
  double worst = 0.0;
  sweep_both(high, [&](float x) { worst = std::max(worst, std::fabs(error(x))); });
  return worst;
}

double ulp(double exact) { return std::ldexp(1.0, std::ilogb(exact) - 23); }

TEST_CASE("exponential: below 2 ulp, clamped beyond its range") {
  double worst = 0.0;
  const auto visit = [&](float x) {
    const double exact = std::exp(double{x});
    worst = std::max(worst, std::fabs(double{kernels::exponential(x)} - exact) / ulp(exact));
  };
  sweep(1e-30f, 88.0f, visit);
  sweep(-1e-30f, -87.0f, visit);
  CAPTURE(worst);
  CHECK(worst < 2.0);
  CHECK(kernels::exponential(0.0f) == 1.0f);
  CHECK(kernels::exponential(200.0f) == kernels::exponential(88.0f));
  CHECK(kernels::exponential(kInfinity) == kernels::exponential(88.0f));
  CHECK(kernels::exponential(-kInfinity) == kernels::exponential(-87.0f));
  CHECK(std::isnan(kernels::exponential(std::nanf(""))));
}

TEST_CASE("logarithm: below 1.2e-7 max(1, |log x|) over all positive normal numbers") {
  double worst = 0.0;
  const auto visit = [&](float x) {
    const double exact = std::log(double{x});
    worst = std::max(worst, std::fabs(double{kernels::logarithm(x)} - exact) / std::max(1.0, std::fabs(exact)));
  };
  sweep(std::numeric_limits<float>::min(), std::numeric_limits<float>::max(), visit);
  sweep(0.5f, 2.0f, visit, 13);
  CAPTURE(worst);
  CHECK(worst < 1.2e-7);
  CHECK(kernels::logarithm(1.0f) == 0.0f);
}

TEST_CASE("hyperbolic_tangent: absolute error below 2e-7") {
  const double worst =
      worst_of(1e30f, [](float x) { return double{kernels::hyperbolic_tangent(x)} - std::tanh(double{x}); });
  CAPTURE(worst);
  CHECK(worst < 2e-7);
  CHECK(kernels::hyperbolic_tangent(0.0f) == 0.0f);
  CHECK(kernels::hyperbolic_tangent(kInfinity) == 1.0f);
  CHECK(kernels::hyperbolic_tangent(-kInfinity) == -1.0f);
  CHECK(std::isnan(kernels::hyperbolic_tangent(std::nanf(""))));
}

TEST_CASE("sigmoid: absolute error below 1.2e-7") {
  const double worst =
      worst_of(1e30f, [](float x) { return double{kernels::sigmoid(x)} - 1.0 / (1.0 + std::exp(-double{x})); });
  CAPTURE(worst);
  CHECK(worst < 1.2e-7);
  CHECK(kernels::sigmoid(0.0f) == 0.5f);
  CHECK(kernels::sigmoid(kInfinity) == 1.0f);
  CHECK(std::isnan(kernels::sigmoid(std::nanf(""))));
}

TEST_CASE("silu and its slope: error below 2.5e-7 max(1, |x|)") {
  const auto scale = [](float x) { return std::max(1.0, std::fabs(double{x})); };
  const double value = worst_of(
      1e6f, [&](float x) { return (double{kernels::silu(x)} - double{x} / (1.0 + std::exp(-double{x}))) / scale(x); });
  const double slope = worst_of(1e6f, [&](float x) {
    const double s = 1.0 / (1.0 + std::exp(-double{x}));
    return (double{kernels::silu_slope(x)} - s * (1.0 + double{x} * (1.0 - s))) / scale(x);
  });
  CAPTURE(value, slope);
  CHECK(value < 2.5e-7);
  CHECK(slope < 2.5e-7);
}

TEST_CASE("signed_logarithm: error below 4e-7 max(1, |y|), odd, clamped beyond 1e18") {
  const double worst = worst_of(1e18f, [](float x) {
    const double exact = std::asinh(double{x});
    return (double{kernels::signed_logarithm(x)} - exact) / std::max(1.0, std::fabs(exact));
  });
  CAPTURE(worst);
  CHECK(worst < 4e-7);
  CHECK(kernels::signed_logarithm(0.0f) == 0.0f);
  CHECK(kernels::signed_logarithm(-3.0f) == -kernels::signed_logarithm(3.0f));
  CHECK(kernels::signed_logarithm(kInfinity) == kernels::signed_logarithm(1e18f));
}

TEST_CASE("the double versions are the standard library's") {
  for (double x : {-3.0, -1e-9, 0.0, 0.5, 20.0}) {
    CHECK(kernels::exponential(x) == std::exp(x));
    CHECK(kernels::hyperbolic_tangent(x) == std::tanh(x));
    CHECK(kernels::signed_logarithm(x) == std::asinh(x));
    CHECK(kernels::logarithm(std::exp(x)) == std::log(std::exp(x)));
  }
}

}  // namespace
}  // namespace amend
