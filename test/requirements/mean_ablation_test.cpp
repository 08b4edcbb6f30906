#include "requirements/baseline/mean_ablation.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/feature_use.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;

namespace {

std::vector<Feature> features() {
  return {{.name = "age", .first_input = 0, .input_count = 1},
          {.name = "sex", .kind = ColumnKind::categorical, .first_input = 1, .input_count = 2},
          {.name = "hours", .first_input = 3, .input_count = 1}};
}

std::vector<float> data(std::int64_t rows) {
  const Tensor x = random_tensor({rows, 4}, DType::float32, 33, 1.0, 0.5);
  return {x.as<float>(), x.as<float>() + x.count()};
}

std::vector<float> logits(const SubjectNetwork& network, const std::vector<float>& input) {
  const SubjectNetwork* pointer = &network;
  return predict_logits({&pointer, 1}, input.data(), static_cast<std::int64_t>(input.size()) / 4, 4);
}

}  // namespace

TEST_CASE("removing a constant feature and folding it changes no prediction") {
  std::vector<float> input = data(64);
  for (std::size_t row = 0; row < 64; ++row) input[row * 4 + 1] = 0.75f, input[row * 4 + 2] = -1.5f;
  const std::vector<SubjectNetwork> networks{random_network({4, 6, 2}, Activation::relu, 1),
                                             random_network({4, 3, 5, 2}, Activation::sigmoid, 2)};
  for (FeatureScore kind : {FeatureScore::saliency, FeatureScore::divergence}) {
    const auto edited = mean_ablation_features(pointers_to(networks), input, features(), 2, kind);
    for (std::size_t n = 0; n < networks.size(); ++n) {
      CHECK(used_features(edited[n], features()) == std::vector<std::uint8_t>{1, 0, 1});
      const auto before = logits(networks[n], input), after = logits(edited[n], input);
      // The first layer's sums in another order: 4 terms below 8 in float32.
      for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i] == Approx(before[i]).margin(1e-5));
    }
  }
}

TEST_CASE("folding equals holding the feature at its mean, on any rows") {
  const SubjectNetwork network = random_network({4, 6, 2}, Activation::silu, 3);
  const SubjectNetwork* pointer = &network;
  const std::vector<float> input = data(128);
  const std::vector<std::uint8_t> kept{1, 0, 1};
  const NetworkProbe probe = probe_networks({&pointer, 1}, input, features()).front();
  const auto removed = logits(remove_features(network, probe.node_mean, features(), kept), input);
  const auto held = logits(network, without_features(input, 4, features(), kept));
  for (std::size_t i = 0; i < held.size(); ++i) CHECK(removed[i] == Approx(held[i]).margin(1e-5));
}

TEST_CASE("each network keeps its own most valuable features, as many as asked for") {
  SubjectNetwork likes_age = random_network({4, 6, 2}, Activation::tanh, 4), likes_sex = likes_age;
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      likes_age.weights[i * 4 + j] *= j == 0 ? 1.0f : 0.05f;
      likes_sex.weights[i * 4 + j] *= j == 1 || j == 2 ? 1.0f : 0.05f;
    }
  }
  const std::vector<SubjectNetwork> networks{likes_age, likes_sex};
  const auto pointers = pointers_to(networks);
  const std::vector<float> input = data(300);
  for (FeatureScore kind : {FeatureScore::saliency, FeatureScore::divergence}) {
    const auto one = mean_ablation_features(pointers, input, features(), 1, kind);
    CHECK(used_features(one[0], features()) == std::vector<std::uint8_t>{1, 0, 0});
    CHECK(used_features(one[1], features()) == std::vector<std::uint8_t>{0, 1, 0});
    for (std::int64_t kept = 0; kept <= 3; ++kept)
      for (const SubjectNetwork& network : mean_ablation_features(pointers, input, features(), kept, kind)) {
        const auto used = used_features(network, features());
        CHECK(std::count(used.begin(), used.end(), 1) == kept);
      }
    const auto all = mean_ablation_features(pointers, input, features(), 3, kind);
    CHECK(all[0].weights == likes_age.weights);
    CHECK(all[0].biases == likes_age.biases);
  }
  CHECK_THROWS_AS(mean_ablation_features(pointers, input, features(), 4), Error);
  const std::vector<Feature> two{features()[0], features()[1]};
  CHECK_THROWS_AS(feature_scores(pointers, input, two, FeatureScore::saliency), Error);
}

TEST_CASE("the second-order score of a feature of little weight is its measured divergence") {
  SubjectNetwork network = random_network({4, 6, 2}, Activation::tanh, 6);
  for (std::size_t i = 0; i < 6; ++i) network.weights[i * 4 + 3] *= 0.1f;
  const SubjectNetwork* pointer = &network;
  const std::vector<float> input = data(500);
  const auto estimate = feature_scores({&pointer, 1}, input, features(), FeatureScore::saliency).front();
  const auto measured = feature_scores({&pointer, 1}, input, features(), FeatureScore::divergence).front();
  CHECK(estimate[2] == Approx(measured[2]).epsilon(0.15));
}

TEST_CASE("probe rows are spread over all rows") {
  Rows rows{.count = 10};
  for (int i = 0; i < 20; ++i) rows.input.push_back(static_cast<float>(i));
  CHECK(spread_rows(rows, 2, 4) == std::vector<float>{0, 1, 4, 5, 10, 11, 14, 15});
  CHECK(spread_rows(rows, 2, 100) == rows.input);
}
