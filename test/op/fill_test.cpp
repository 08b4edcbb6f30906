#include "kernels/fill.hpp"

#include <catch2/catch.hpp>

#include "test/support/random_networks.hpp"

namespace amend {
namespace {

TEST_CASE("fill sets every element, accumulate adds a multiple, multiply scales") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t count = 200001;  // more than one chunk
  const int threads = GENERATE(1, 2, 3);
  const test::ThreadCount several(threads);
  const Tensor x = test::random_tensor({count}, dtype, 1), y({count}, dtype);
  kernels::fill({.y = y, .value = 0.25}, Stream{});
  kernels::accumulate({.x = x, .scale = -2.0, .y = y}, Stream{});
  std::vector<double> expected = test::values(x);
  for (double& value : expected) {
    value = 0.25 - 2.0 * value;
    if (dtype == DType::float32) value = double{static_cast<float>(value)};  // both terms are exact
  }
  CHECK(test::values(y) == expected);
  kernels::fill({.y = y, .value = -0.5}, Stream{});
  kernels::multiply({.x = x, .y = y}, Stream{});
  expected = test::values(x);
  for (double& value : expected) value *= -0.5;
  CHECK(test::values(y) == expected);
}

TEST_CASE("fill and accumulate: no elements, and mistakes name the argument") {
  const Tensor none({0}, DType::float32), three({3}, DType::float32), four({4}, DType::float32),
      wide({3}, DType::float64);
  CHECK_NOTHROW(kernels::fill({.y = none, .value = 1.0}, Stream{}));
  CHECK_NOTHROW(kernels::accumulate({.x = none, .y = none}, Stream{}));
  CHECK_THROWS_WITH(kernels::accumulate({.x = four, .y = three}, Stream{}),
                    "[accumulate] expected `x` of shape (3), got (4)");
  CHECK_THROWS_WITH(kernels::multiply({.x = four, .y = three}, Stream{}),
                    "[multiply] expected `x` of shape (3), got (4)");
  CHECK_THROWS_WITH(kernels::accumulate({.x = wide, .y = three}, Stream{}),
                    "[accumulate] expected `x` of float32, got float64");
  CHECK_THROWS_WITH(kernels::fill({.y = Tensor({3}, DType::int32)}, Stream{}),
                    "[fill] expected float32 or float64, got int32");
}

}  // namespace
}  // namespace amend
