// What an editor reads of the weights of requirements.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cfloat>
#include <cmath>

#include "metanet/train/editor_data.hpp"
#include "test/support/random_networks.hpp"

namespace amend {
namespace {

const LambdaRange kRange{0.002, 0.2};

/// The condition of networks with these weights of one requirement: two numbers a network.
std::vector<double> encode(const std::vector<double>& lambda, const LambdaRange& range, DType dtype) {
  const test::RandomBatch batch =
      test::random_batch(std::vector<std::vector<int>>(lambda.size(), {3, 2}), Activation::relu, dtype, 1);
  Arena arena;
  EditorInputs inputs;
  inputs.table = &batch.table();
  encode_condition(inputs, lambda, {&range, 1}, arena, dtype);
  CHECK(inputs.lambda.count() == static_cast<std::int64_t>(lambda.size()));
  for (std::size_t n = 0; n < lambda.size(); ++n)  // as it was asked for
    if (dtype == DType::float64)
      CHECK(inputs.lambda.as<double>()[n] == lambda[n]);
    else
      CHECK(inputs.lambda.as<float>()[n] == static_cast<float>(std::min(lambda[n], double{FLT_MAX})));
  return test::values(inputs.condition);
}

TEST_CASE("a condition is the place of lambda in the trained range, +-1.5 at its ends") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const auto condition = encode({0.0, 0.002, 0.02, 0.2, kRange.at_strength(0.75)}, kRange, dtype);
  const std::vector<double> place = {0.0, -1.5, 0.0, 1.5, 0.75};
  for (std::size_t n = 0; n < place.size(); ++n) {
    CHECK(condition[2 * n] == Approx(place[n]).margin(1e-6));
    CHECK(condition[2 * n + 1] == (n == 0 ? 0.0 : 1.0));
  }
}

TEST_CASE("a lambda outside the trained range is read as its nearest end") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const auto condition = encode({1e-320, 1e-9, 0.0019, 0.21, 1e3, 1e300}, kRange, dtype);
  for (std::size_t n = 0; n < 6; ++n) {
    CHECK(condition[2 * n] == (n < 3 ? -1.5 : 1.5));
    CHECK(condition[2 * n + 1] == 1.0);
  }
}

TEST_CASE("a condition is finite for ranges whose product or ratio is not, and for a range of one number") {
  for (const LambdaRange& range :
       {LambdaRange{1e200, 1e300}, LambdaRange{1e-300, 1e-200}, LambdaRange{1e-200, 1e200}, LambdaRange{0.1, 0.1}}) {
    CAPTURE(range.low);
    const auto condition =
        encode({0.0, range.low, std::sqrt(range.low) * std::sqrt(range.high), range.high}, range, DType::float64);
    const double end = range.low == range.high ? 0.0 : 1.5;
    CHECK(condition[2] == Approx(-end));
    CHECK(condition[4] == Approx(0.0).margin(1e-12));
    CHECK(condition[6] == Approx(end));
  }
}

}  // namespace
}  // namespace amend
