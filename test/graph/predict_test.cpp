#include "metanet/graph/predict.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "engine/error.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/subject_oracle.hpp"

using namespace amend;
using namespace amend::test;

TEST_CASE("predictions of networks of mixed shapes are those of their formula, in any chunking") {
  const std::vector<SubjectNetwork> networks{
      random_network({5, 7, 3}, Activation::relu, 1), random_network({5, 4, 6, 3}, Activation::tanh, 2),
      random_network({5, 3}, Activation::silu, 3), random_network({5, 9, 2, 3}, Activation::sigmoid, 4)};
  constexpr std::int64_t kRows = 37;
  const Tensor x = random_tensor({kRows, 5}, DType::float32, 9);
  const float* input = x.as<float>();
  const auto pointers = pointers_to(networks);
  const std::vector<float> logits = predict_logits(pointers, input, kRows, 5);
  REQUIRE(logits.size() == networks.size() * kRows * 3);
  for (std::size_t n = 0; n < networks.size(); ++n)
    for (std::size_t row = 0; row < kRows; ++row) {
      const std::vector<double> row_values(input + row * 5, input + row * 5 + 5);
      const SubjectOracle oracle(networks[n], row_values.data());
      for (std::size_t c = 0; c < 3; ++c)
        CHECK(logits[(n * kRows + row) * 3 + c] == Approx(oracle.activation.back()[c]).margin(1e-5));
    }

  for (std::int64_t bytes : {std::int64_t{1}, std::int64_t{2 * kRows * 3 * 4}}) {
    std::vector<float> pieces;
    std::int64_t next = 0;
    predict_in_chunks(
        pointers, input, kRows, 5,
        [&](const PredictedChunk& chunk) {
          CHECK(chunk.first == next);
          next += chunk.count;
          pieces.insert(pieces.end(), chunk.logits.begin(), chunk.logits.end());
        },
        Device::cpu(), bytes);
    CHECK(next == 4);
    CHECK(pieces == logits);  // alone or in a batch: the same bits
  }
}

TEST_CASE("predictions refuse networks that do not fit the data") {
  const std::vector<SubjectNetwork> networks{random_network({5, 7, 3}, Activation::relu, 1),
                                             random_network({4, 3}, Activation::relu, 1)};
  const std::vector<float> input(10);
  CHECK_THROWS_AS(predict_logits(pointers_to(networks), input.data(), 2, 5), Error);
  CHECK(predict_logits({}, input.data(), 2, 5).empty());
}
