#include "requirements/baseline/canonical.hpp"

#include <catch2/catch.hpp>
#include <numeric>
#include <vector>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/utility.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;

namespace {

std::vector<float> data() {
  const Tensor x = random_tensor({80, 4}, DType::float32, 12);
  return {x.as<float>(), x.as<float>() + x.count()};
}

double divergence(const SubjectNetwork& a, const SubjectNetwork& b, const std::vector<float>& input) {
  const SubjectNetwork* pair[] = {&a, &b};
  const auto logits = predict_logits(pair, input.data(), 80, 4);
  const auto rows = row_divergence(std::span(logits).first(160), std::span(logits).last(160), 2);
  return std::accumulate(rows.begin(), rows.end(), 0.0) / 80;
}

/// `network` with its last layer scaled.
SubjectNetwork scaled(SubjectNetwork network, float factor) {
  for (std::size_t e = static_cast<std::size_t>(network.weight_offset(network.layers() - 1));
       e < network.weights.size(); ++e)
    network.weights[e] *= factor;
  return network;
}

}  // namespace

TEST_CASE("the canonical network is the candidate nearest to all originals") {
  const std::vector<float> input = data();
  std::vector<SubjectNetwork> originals, candidates;
  const SubjectNetwork centre = random_network({4, 6, 2}, Activation::tanh, 1);
  for (float factor : {0.8f, 1.0f, 1.1f}) originals.push_back(scaled(centre, factor));
  candidates = {random_network({4, 5, 2}, Activation::relu, 7), scaled(centre, 0.95f),
                random_network({4, 3, 3, 2}, Activation::relu, 8)};
  const auto result = canonical_replacement(pointers_to(candidates), pointers_to(originals), input);
  CHECK(result.index == 1);
  REQUIRE(result.mean_divergence.size() == 3);
  for (std::size_t c = 0; c < 3; ++c) {
    double mean = 0.0;
    for (const SubjectNetwork& original : originals) mean += divergence(original, candidates[c], input) / 3;
    CHECK(result.mean_divergence[c] == Approx(mean).margin(1e-12));
  }
  CHECK(result.divergence == result.mean_divergence[1]);
  CHECK_THROWS_AS(canonical_replacement({}, pointers_to(originals), input), Error);
}

TEST_CASE("specificity tells own edits from those of others") {
  const std::vector<float> input = data();
  std::vector<SubjectNetwork> originals, edited;
  for (std::uint64_t seed : {1, 2, 3}) {
    originals.push_back(random_network({4, 6, 2}, Activation::tanh, seed));
    edited.push_back(scaled(originals.back(), 0.9f));
  }
  const auto pairs_mean = [&](const auto& a, const auto& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j)
        if (i != j) sum += divergence(a[i], b[j], input) / 6;
    return sum;
  };
  const Specificity result = specificity(pointers_to(originals), pointers_to(edited), input);
  double own = 0.0;
  for (std::size_t n = 0; n < 3; ++n) own += divergence(originals[n], edited[n], input) / 3;
  CHECK(result.own == Approx(own).margin(1e-12));
  CHECK(result.cross == Approx(pairs_mean(originals, edited)).margin(1e-12));
  CHECK(result.among_edited == Approx(pairs_mean(edited, edited)).margin(1e-12));
  CHECK(result.among_originals == Approx(pairs_mean(originals, originals)).margin(1e-12));
  const auto canonical = canonical_replacement(pointers_to(edited), pointers_to(originals), input);
  CHECK(result.best_canonical == Approx(canonical.divergence));
  CHECK(result.best_index == canonical.index);
  CHECK(result.own < result.best_canonical);

  // Everybody written to the same network: own is no better than canonical, and the edits do not differ.
  const std::vector<SubjectNetwork> collapsed(3, edited[0]);
  const Specificity none = specificity(pointers_to(originals), pointers_to(collapsed), input);
  CHECK(none.own == Approx(none.best_canonical));
  CHECK(none.among_edited == Approx(0.0).margin(1e-12));
}
