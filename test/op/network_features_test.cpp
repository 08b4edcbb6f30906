#include "kernels/network_features.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "test/support/op_run.hpp"

namespace amend {
namespace {

struct Inputs {
  Tensor divergence, requirement, lambda;
  explicit Inputs(DType dtype)
      : divergence(test::make_tensor({4}, dtype, {0.02, 0.0, -1e-9, 0.3})),
        requirement(test::make_tensor({4, 2}, dtype, {0.5, 0.1, 1.0, 0.0, 0.25, -1e-9, 0.7, 0.4})),
        lambda(test::make_tensor({4, 2}, dtype, {0.01, 0.2, 0.0, 0.5, 0.0, 0.0, 0.125, 0.0})) {}
};

/// feature, reference.
std::vector<Tensor> run(const Inputs& in, int pass) {
  const DType dtype = in.lambda.view().dtype;
  const std::vector<Tensor> out = {Tensor({4, kernels::network_feature_count(2)}, dtype), Tensor({4}, dtype)};
  kernels::network_features({.divergence = in.divergence,
                             .requirement = in.requirement,
                             .lambda = in.lambda,
                             .pass = pass,
                             .feature = out[0],
                             .reference = out[1]},
                            Stream{});
  return out;
}

TEST_CASE("network_features agree with their definition") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const int pass = GENERATE(1, 2);
  const Inputs in(dtype);
  const auto divergence = test::values(in.divergence), value = test::values(in.requirement),
             lambda = test::values(in.lambda);
  std::vector<double> expected;
  for (std::size_t n = 0; n < 4; ++n) {
    const double d = std::max(divergence[n], 0.0);
    expected.push_back(std::log(d + 1e-5) / 3 + 2);
    expected.push_back(pass == 1);
    expected.push_back(pass == 2);
    for (std::size_t r = 0; r < 2; ++r) {
      const double l = lambda[2 * n + r], v = std::max(value[2 * n + r], 0.0);
      expected.push_back(l > 0 ? 3 * v : 0.0);
      expected.push_back(l > 0 ? std::log(l * v / (d + 1e-5) + 1e-3) / 3 : 0.0);
      expected.push_back(l > 0 ? std::log(d / l + 1e-4) / 3 : 0.0);
    }
  }
  const auto out = run(in, pass);
  CHECK(test::close("network_features", out[0], expected));
  // The first weight in force, and a constant where none is.
  CHECK(test::close("network_features", out[1], {0.01, 0.5, 0.01, 0.125}));
}

TEST_CASE("network_features of a network are its own, bit for bit") {
  Inputs in(DType::float32), other = in;
  const auto before = run(in, 1);
  other.lambda = test::convert(in.lambda, DType::float32);
  other.lambda.as<float>()[6] = 0.25f;
  const auto after = run(other, 1);
  for (std::int64_t n = 0; n < 4; ++n)
    CHECK(test::same_bits(slice_rows(before[0], n, 1), slice_rows(after[0], n, 1)) == (n != 3));
}

TEST_CASE("network_features name what does not fit") {
  const Inputs in(DType::float64);
  CHECK_THROWS_WITH(run(in, 0), Catch::Contains("expected pass 1 to 2, got 0"));
  CHECK_THROWS_WITH(run(in, 3), Catch::Contains("expected pass 1 to 2, got 3"));
  Inputs wrong = in;
  wrong.divergence = Tensor({3}, DType::float64);
  CHECK_THROWS_WITH(run(wrong, 1), Catch::Contains("`divergence` of shape (4), got (3)"));
  wrong = in;
  wrong.requirement = Tensor({4, 1}, DType::float64);
  CHECK_THROWS_WITH(run(wrong, 1), Catch::Contains("`requirement`"));
}

}  // namespace
}  // namespace amend
