#include "requirements/baseline/feature_selection.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/baseline/network_probe.hpp"
#include "requirements/metric/feature_use.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/subject_oracle.hpp"

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

/// Scores, selects and removes with folding.
std::vector<SubjectNetwork> reduced(const std::vector<const SubjectNetwork*>& networks, const std::vector<float>& input,
                                    std::int64_t kept, FeatureScore kind, std::span<const std::int32_t> label) {
  const auto scores = feature_scores(networks, input, features(), kind, {.label = label});
  return remove_features(networks, features(), select_features(scores, kept), column_means(input, 4));
}

std::vector<std::int32_t> labels(std::int64_t rows) {
  const Tensor label = random_integers({rows}, 2, 44);
  return {label.as<std::int32_t>(), label.as<std::int32_t>() + rows};
}

/// What the network predicts itself: labels for which every feature that it listens to matters.
std::vector<std::int32_t> own_labels(const SubjectNetwork& network, const std::vector<float>& input) {
  std::vector<std::int32_t> label;
  const auto z = logits(network, input);
  for (std::size_t row = 0; row < z.size() / 2; ++row) label.push_back(z[2 * row + 1] > z[2 * row]);
  return label;
}

/// Mean cross-entropy of a network on the rows in float64, neuron by neuron.
double oracle_cross_entropy(const SubjectNetwork& network, const std::vector<double>& input,
                            const std::vector<std::int32_t>& label) {
  double sum = 0.0;
  for (std::size_t row = 0; row < label.size(); ++row) {
    const auto p = softmax(SubjectOracle(network, input.data() + row * 4).activation.back());
    sum -= std::log(p[static_cast<std::size_t>(label[row])]);
  }
  return sum / static_cast<double>(label.size());
}

constexpr FeatureScore kScores[] = {FeatureScore::norm, FeatureScore::saliency, FeatureScore::divergence,
                                    FeatureScore::permutation};

}  // namespace

TEST_CASE("removing a constant feature and folding it changes no prediction") {
  std::vector<float> input = data(64);
  for (std::size_t row = 0; row < 64; ++row) input[row * 4 + 1] = 0.75f, input[row * 4 + 2] = -1.5f;
  const std::vector<SubjectNetwork> networks{random_network({4, 6, 2}, Activation::relu, 1),
                                             random_network({4, 3, 5, 2}, Activation::sigmoid, 2)};
  for (FeatureScore kind : {FeatureScore::saliency, FeatureScore::divergence}) {
    const auto edited = reduced(pointers_to(networks), input, 2, kind, {});
    for (std::size_t n = 0; n < networks.size(); ++n) {
      CHECK(used_features(edited[n], features()) == std::vector<std::uint8_t>{1, 0, 1});
      const auto before = logits(networks[n], input), after = logits(edited[n], input);
      // The first layer's sums in another order: 4 terms below 8 in float32.
      for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i] == Approx(before[i]).margin(1e-5));
    }
  }
  const auto label = labels(64);
  for (const auto& score :
       feature_scores(pointers_to(networks), input, features(), FeatureScore::permutation, {.label = label})) {
    CHECK(score[0] != 0.0);
    CHECK(score[1] == 0.0);
    CHECK(score[2] != 0.0);
  }
}

TEST_CASE("folding equals holding the feature at its mean, on any rows, and not folding holding it at zero") {
  const SubjectNetwork network = random_network({4, 6, 2}, Activation::silu, 3);
  const SubjectNetwork* pointer = &network;
  const std::vector<float> input = data(128);
  const std::vector<std::vector<std::uint8_t>> kept{{1, 0, 1}};
  const auto removed = logits(remove_features({&pointer, 1}, features(), kept, column_means(input, 4)).front(), input);
  const auto held = logits(network, without_features(input, 4, features(), kept.front()));
  const SubjectNetwork cut = remove_features({&pointer, 1}, features(), kept).front();
  std::vector<float> zeroed = input;
  for (std::size_t row = 0; row < 128; ++row) zeroed[row * 4 + 1] = zeroed[row * 4 + 2] = 0.0f;
  const auto without = logits(cut, input), at_zero = logits(network, zeroed);
  for (std::size_t i = 0; i < held.size(); ++i) {
    CHECK(removed[i] == Approx(held[i]).margin(1e-5));
    CHECK(without[i] == Approx(at_zero[i]).margin(1e-5));
  }
  CHECK(cut.biases == network.biases);
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
  const std::vector<double> mean = column_means(input, 4);
  for (FeatureScore kind : kScores) {
    for (std::size_t n = 0; n < 2; ++n) {
      const auto own = own_labels(networks[n], input);
      const auto scores = feature_scores(pointers, input, features(), kind, {.label = own});
      CHECK(select_features(scores, 1)[n] ==
            (n == 0 ? std::vector<std::uint8_t>{1, 0, 0} : std::vector<std::uint8_t>{0, 1, 0}));
      for (std::int64_t kept = 0; kept <= 3; ++kept) {
        const auto marks = select_features(scores, kept);
        const auto edited = remove_features(pointers, features(), marks, mean);
        REQUIRE(edited.size() == 2);
        for (std::size_t m = 0; m < 2; ++m) {
          CHECK(std::count(marks[m].begin(), marks[m].end(), 1) == kept);
          CHECK(used_features(edited[m], features()) == marks[m]);
        }
      }
    }
    const auto all = reduced(pointers, input, 3, kind, labels(300));
    CHECK(all[0].weights == likes_age.weights);
    CHECK(all[0].biases == likes_age.biases);
  }
}

TEST_CASE("equal scores keep the earlier features") {
  const std::vector<std::vector<double>> scores{{1.0, 2.0, 1.0}, {0.5, 0.5, 0.5}, {-1.0, -3.0, -2.0}};
  CHECK(select_features(scores, 2) == std::vector<std::vector<std::uint8_t>>{{1, 1, 0}, {1, 1, 0}, {1, 0, 1}});
}

TEST_CASE("the norm of a feature is that of its first-layer columns, without data") {
  const std::vector<SubjectNetwork> networks{random_network({4, 6, 2}, Activation::relu, 1),
                                             random_network({4, 3, 5, 2}, Activation::sigmoid, 2)};
  const auto scores = feature_scores(pointers_to(networks), {}, features(), FeatureScore::norm);
  for (std::size_t n = 0; n < 2; ++n) {
    double squares[4] = {};
    for (std::size_t e = 0; e < 4 * static_cast<std::size_t>(networks[n].widths[1]); ++e)
      squares[e % 4] += static_cast<double>(networks[n].weights[e]) * networks[n].weights[e];
    CHECK(scores[n][0] == Approx(std::sqrt(squares[0])));
    CHECK(scores[n][1] == Approx(std::sqrt(squares[1] + squares[2])));
    CHECK(scores[n][2] == Approx(std::sqrt(squares[3])));
  }
}

TEST_CASE("permutation importance is the mean increase of the cross-entropy over the shuffles") {
  // Two rows have two orders: each shuffle adds nothing or the increase d when the feature's columns change places.
  const std::vector<SubjectNetwork> networks{random_network({4, 6, 2}, Activation::tanh, 4),
                                             random_network({4, 3, 5, 2}, Activation::silu, 5)};
  const std::vector<float> input = data(2);
  const std::vector<std::int32_t> label{1, 0};
  constexpr int kSeeds = 20, kShuffles = 4;
  std::vector<std::vector<std::vector<double>>> scores;  // (seeds, networks, features)
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    scores.push_back(feature_scores(pointers_to(networks), input, features(), FeatureScore::permutation,
                                    {.label = label, .shuffles = kShuffles, .seed = seed}));
  CHECK(scores[1] != scores[2]);
  for (std::size_t n = 0; n < networks.size(); ++n) {
    const std::vector<double> exact(input.begin(), input.end());
    for (std::size_t f = 0; f < 3; ++f) {
      std::vector<double> swapped = exact;
      for (int j = features()[f].first_input; j < features()[f].first_input + features()[f].input_count; ++j)
        std::swap(swapped[static_cast<std::size_t>(j)], swapped[4 + static_cast<std::size_t>(j)]);
      const double increase =
          oracle_cross_entropy(networks[n], swapped, label) - oracle_cross_entropy(networks[n], exact, label);
      REQUIRE(std::abs(increase) > 0.01);
      double mean = 0.0;
      for (const auto& score : scores) {
        const double changed = score[n][f] / increase * kShuffles;  // shuffles that swapped the rows
        CHECK(changed == Approx(std::round(changed)).margin(1e-3));
        CHECK(changed > -0.1);
        CHECK(changed < kShuffles + 0.1);
        mean += changed / (kSeeds * kShuffles);
      }
      CHECK(mean == Approx(0.5).margin(0.2));  // the deviation of 80 coins is .06
    }
  }
}

TEST_CASE("a feature's columns are shuffled together") {
  // sex_0 + sex_1 is constant and that is all the network reads: shuffled together, nothing changes.
  SubjectNetwork network = random_network({4, 6, 2}, Activation::tanh, 4);
  for (std::size_t i = 0; i < 6; ++i) network.weights[i * 4 + 2] = network.weights[i * 4 + 1];
  std::vector<float> input = data(100);
  for (std::size_t row = 0; row < 100; ++row) {
    input[row * 4 + 1] = row % 3 == 0 ? 1.0f : 0.0f;
    input[row * 4 + 2] = 1.0f - input[row * 4 + 1];
  }
  const SubjectNetwork* pointer = &network;
  const auto label = labels(100);
  const auto scores = feature_scores({&pointer, 1}, input, features(), FeatureScore::permutation, {.label = label});
  CHECK(scores[0][1] == Approx(0.0).margin(1e-6));
  CHECK(std::abs(scores[0][0]) > 1e-3);
}

TEST_CASE("scores and removal do not depend on the others of the batch or on the number of threads") {
  const std::vector<SubjectNetwork> networks{random_network({4, 6, 2}, Activation::relu, 1),
                                             random_network({4, 3, 5, 2}, Activation::sigmoid, 2),
                                             random_network({4, 2}, Activation::relu, 3)};
  const std::vector<float> input = data(90);
  const auto label = labels(90);
  for (FeatureScore kind : kScores) {
    const ThreadCount one(1);
    const auto together = feature_scores(pointers_to(networks), input, features(), kind, {.label = label});
    const auto edited = reduced(pointers_to(networks), input, 2, kind, label);
    const ThreadCount several(3);
    CHECK(feature_scores(pointers_to(networks), input, features(), kind, {.label = label}) == together);
    const auto again = reduced(pointers_to(networks), input, 2, kind, label);
    for (std::size_t n = 0; n < networks.size(); ++n) {
      const SubjectNetwork* pointer = &networks[n];
      CHECK(feature_scores({&pointer, 1}, input, features(), kind, {.label = label}).front() == together[n]);
      CHECK(again[n].weights == edited[n].weights);
      CHECK(again[n].biases == edited[n].biases);
    }
  }
}

TEST_CASE("feature selection says what does not fit") {
  const SubjectNetwork network = random_network({4, 6, 2}, Activation::relu, 1);
  const SubjectNetwork* pointer = &network;
  const std::vector<const SubjectNetwork*> networks{pointer};
  const std::vector<float> input = data(10);
  const auto label = labels(10);
  const auto score = [&](FeatureScore kind, const PermutationImportance& permutation = {}) {
    return feature_scores(networks, input, features(), kind, permutation);
  };
  CHECK_THROWS_AS(score(FeatureScore::permutation), Error);
  CHECK_THROWS_AS(score(FeatureScore::permutation, {.label = std::span(label).first(9)}), Error);
  CHECK_THROWS_AS(score(FeatureScore::permutation, {.label = label, .shuffles = 0}), Error);
  const std::vector<std::int32_t> wrong(10, 2);
  CHECK_THROWS_AS(score(FeatureScore::permutation, {.label = wrong}), Error);
  CHECK_THROWS_AS(feature_scores(networks, {}, features(), FeatureScore::divergence), Error);
  CHECK_THROWS_AS(feature_scores(networks, std::span(input).first(7), features(), FeatureScore::divergence), Error);
  const std::vector<Feature> two{features()[0], features()[1]},
      outside{{.name = "late", .first_input = 3, .input_count = 2}};
  CHECK_THROWS_AS(feature_scores(networks, input, two, FeatureScore::saliency), Error);
  for (FeatureScore kind : kScores) CHECK_THROWS_AS(feature_scores(networks, input, outside, kind), Error);
  const std::vector<std::vector<double>> scores{{1, 2, 3}};
  CHECK_THROWS_AS(select_features(scores, 4), Error);
  CHECK_THROWS_AS(select_features(scores, -1), Error);
  const std::vector<std::vector<std::uint8_t>> marks{{1, 0, 1}}, short_marks{{1, 0}};
  const std::vector<double> mean(3, 0.0);
  CHECK_THROWS_AS(remove_features(networks, features(), short_marks), Error);
  CHECK_THROWS_AS(remove_features(networks, features(), {}), Error);
  CHECK_THROWS_AS(remove_features(networks, features(), marks, mean), Error);
  CHECK_THROWS_AS(remove_features(networks, outside, std::vector<std::vector<std::uint8_t>>{{0}}), Error);
  CHECK_THROWS_AS(column_means({}, 4), Error);
  CHECK_THROWS_AS(column_means(input, 3), Error);
  CHECK(feature_scores({}, {}, features(), FeatureScore::divergence).empty());
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
