#include "requirements/baseline/mean_ablation.hpp"

#include <algorithm>
#include <numeric>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/feature_use.hpp"
#include "requirements/metric/utility.hpp"

namespace amend {
namespace {

std::vector<std::vector<double>> measured_scores(std::span<const SubjectNetwork* const> networks,
                                                 std::span<const float> input, std::span<const Feature> features) {
  const int inputs = networks.front()->widths.front(), classes = networks.front()->widths.back();
  const std::int64_t rows = static_cast<std::int64_t>(input.size()) / inputs;
  const std::vector<float> original = predict_logits(networks, input.data(), rows, inputs);
  const auto size = static_cast<std::size_t>(rows * classes);
  std::vector<std::vector<double>> scores(networks.size(), std::vector<double>(features.size()));
  for (std::size_t f = 0; f < features.size(); ++f) {
    std::vector<std::uint8_t> kept(features.size(), 1);
    kept[f] = 0;
    const std::vector<float> without = without_features(input, inputs, features, kept);
    predict_in_chunks(networks, without.data(), rows, inputs, [&](const PredictedChunk& chunk) {
      for (std::int64_t k = 0; k < chunk.count; ++k) {
        const auto n = static_cast<std::size_t>(chunk.first + k);
        const auto divergence = row_divergence(std::span(original).subspan(n * size, size),
                                               chunk.logits.subspan(static_cast<std::size_t>(k) * size, size), classes);
        scores[n][f] = std::accumulate(divergence.begin(), divergence.end(), 0.0) / static_cast<double>(rows);
      }
    });
  }
  return scores;
}

std::vector<std::vector<double>> scores_from(const std::vector<NetworkProbe>& probes,
                                             std::span<const SubjectNetwork* const> networks,
                                             std::span<const float> input, std::span<const Feature> features,
                                             FeatureScore kind) {
  if (kind == FeatureScore::divergence) return measured_scores(networks, input, features);
  std::vector<std::vector<double>> scores;
  for (const NetworkProbe& probe : probes)
    scores.emplace_back(probe.feature_saliency.begin(), probe.feature_saliency.end());
  return scores;
}

}  // namespace

std::vector<std::vector<double>> feature_scores(std::span<const SubjectNetwork* const> networks,
                                                std::span<const float> input, std::span<const Feature> features,
                                                FeatureScore kind) {
  if (networks.empty()) return {};
  const bool probed = kind == FeatureScore::saliency;
  return scores_from(probed ? probe_networks(networks, input, features) : std::vector<NetworkProbe>(), networks, input,
                     features, kind);
}

std::vector<SubjectNetwork> mean_ablation_features(std::span<const SubjectNetwork* const> networks,
                                                   std::span<const float> input, std::span<const Feature> features,
                                                   std::int64_t kept, FeatureScore kind) {
  check(kept >= 0 && kept <= static_cast<std::int64_t>(features.size()), "mean_ablation_features", "expected 0 to ",
        features.size(), " features to keep, got ", kept);
  std::vector<SubjectNetwork> edited;
  if (networks.empty()) return edited;
  const std::vector<NetworkProbe> probes = probe_networks(networks, input, features);
  const auto scores = scores_from(probes, networks, input, features, kind);
  for (std::size_t n = 0; n < networks.size(); ++n) {
    std::vector<std::size_t> order(features.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[n][a] > scores[n][b]; });
    std::vector<std::uint8_t> marks(features.size(), 0);
    for (std::size_t f = 0; f < static_cast<std::size_t>(kept); ++f) marks[order[f]] = 1;
    edited.push_back(remove_features(*networks[n], probes[n].node_mean, features, marks));
  }
  return edited;
}

SubjectNetwork remove_features(const SubjectNetwork& network, std::span<const float> node_mean,
                               std::span<const Feature> features, std::span<const std::uint8_t> kept) {
  check(kept.size() == features.size(), "remove_features", "got ", kept.size(), " marks for ", features.size(),
        " features");
  SubjectNetwork edited = network;
  const auto cols = static_cast<std::size_t>(network.widths[0]), rows = static_cast<std::size_t>(network.widths[1]);
  for (std::size_t f = 0; f < features.size(); ++f) {
    if (kept[f]) continue;
    for (std::size_t i = 0; i < rows; ++i)
      std::fill_n(edited.weights.begin() + static_cast<std::ptrdiff_t>(i * cols) + features[f].first_input,
                  features[f].input_count, 0.0f);
  }
  fold_mean(network, node_mean, edited);
  return edited;
}

}  // namespace amend
