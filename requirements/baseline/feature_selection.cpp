#include "requirements/baseline/feature_selection.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "engine/random.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/baseline/network_probe.hpp"
#include "requirements/metric/feature_use.hpp"
#include "requirements/metric/utility.hpp"

namespace amend {
namespace {

using Scores = std::vector<std::vector<double>>;  // (networks, features)

constexpr std::uint32_t kPermutationStream = 0x7065;  // "pe"

void check_features(std::span<const Feature> features, int inputs, const char* where) {
  for (const Feature& feature : features)
    check(feature.first_input >= 0 && feature.input_count >= 0 && feature.first_input + feature.input_count <= inputs,
          where, "feature `", feature.name, "` has inputs up to ", feature.first_input + feature.input_count, " of ",
          inputs);
}

std::int64_t row_count(std::span<const float> input, int inputs) {
  const std::int64_t rows = static_cast<std::int64_t>(input.size()) / inputs;
  check(rows > 0 && rows * inputs == static_cast<std::int64_t>(input.size()), "feature_scores", "got ", input.size(),
        " numbers for ", inputs, " inputs");
  return rows;
}

/// `measure` of the logits (rows, classes) that every network gives on the rows: (networks).
std::vector<double> measured(std::span<const SubjectNetwork* const> networks, std::span<const float> input, int inputs,
                             const std::function<double(std::size_t network, std::span<const float> logits)>& measure) {
  const std::int64_t rows = row_count(input, inputs);
  const auto size = static_cast<std::size_t>(rows * networks.front()->widths.back());
  std::vector<double> result(networks.size());
  predict_in_chunks(networks, input.data(), rows, inputs, [&](const PredictedChunk& chunk) {
    parallel_for(chunk.count, [&](std::int64_t k) {
      const auto n = static_cast<std::size_t>(chunk.first + k);
      result[n] = measure(n, chunk.logits.subspan(static_cast<std::size_t>(k) * size, size));
    });
  });
  return result;
}

Scores norm_scores(std::span<const SubjectNetwork* const> networks, std::span<const Feature> features) {
  Scores scores(networks.size(), std::vector<double>(features.size(), 0.0));
  parallel_for(static_cast<std::int64_t>(networks.size()), [&](std::int64_t index) {
    const SubjectNetwork& network = *networks[static_cast<std::size_t>(index)];
    const int cols = network.widths[0], rows = network.widths[1];
    for (std::size_t f = 0; f < features.size(); ++f) {
      double sum = 0.0;
      for (int i = 0; i < rows; ++i)
        for (int j = features[f].first_input; j < features[f].first_input + features[f].input_count; ++j) {
          const double weight = network.weights[static_cast<std::size_t>(i * cols + j)];
          sum += weight * weight;
        }
      scores[static_cast<std::size_t>(index)][f] = std::sqrt(sum);
    }
  });
  return scores;
}

Scores saliency_scores(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                       std::span<const Feature> features) {
  Scores scores;
  for (const NetworkProbe& probe : probe_networks(networks, input, features, false))
    scores.emplace_back(probe.feature_saliency.begin(), probe.feature_saliency.end());
  return scores;
}

Scores divergence_scores(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                         std::span<const Feature> features) {
  const int inputs = networks.front()->widths.front(), classes = networks.front()->widths.back();
  const std::int64_t rows = row_count(input, inputs);
  const std::vector<float> original = predict_logits(networks, input.data(), rows, inputs);
  Scores scores(networks.size(), std::vector<double>(features.size()));
  std::vector<std::uint8_t> kept(features.size(), 1);
  for (std::size_t f = 0; f < features.size(); ++f) {
    kept[f] = 0;
    const std::vector<float> without = without_features(input, inputs, features, kept);
    kept[f] = 1;
    const auto mean = measured(networks, without, inputs, [&](std::size_t n, std::span<const float> logits) {
      const auto before = std::span(original).subspan(n * logits.size(), logits.size());
      const auto divergence = row_divergence(before, logits, classes);
      return std::accumulate(divergence.begin(), divergence.end(), 0.0) / static_cast<double>(rows);
    });
    for (std::size_t n = 0; n < networks.size(); ++n) scores[n][f] = mean[n];
  }
  return scores;
}

/// Mean of -log p(label) over the rows, in nats.
double cross_entropy(std::span<const float> logits, std::span<const std::int32_t> label) {
  const std::size_t classes = logits.size() / label.size();
  double sum = 0.0;
  for (std::size_t row = 0; row < label.size(); ++row) {
    const auto z = logits.subspan(row * classes, classes);
    const double top = *std::max_element(z.begin(), z.end());
    double total = 0.0;
    for (const float value : z) total += std::exp(value - top);
    sum += top + std::log(total) - z[static_cast<std::size_t>(label[row])];
  }
  return sum / static_cast<double>(label.size());
}

/// A random order of 0 .. count - 1 (Fisher and Yates).
std::vector<std::size_t> shuffled_order(std::size_t count, const RandomStream& random) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = count; i > 1; --i)
    std::swap(order[i - 1], order[random.below(i, static_cast<std::uint32_t>(i))]);
  return order;
}

Scores permutation_scores(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                          std::span<const Feature> features, const PermutationImportance& permutation) {
  const int inputs = networks.front()->widths.front(), classes = networks.front()->widths.back();
  const auto rows = static_cast<std::size_t>(row_count(input, inputs)), width = static_cast<std::size_t>(inputs);
  const auto& label = permutation.label;
  check(label.size() == rows, "feature_scores", "permutation importance needs labels: got ", label.size(), " for ",
        rows, " rows");
  for (const std::int32_t c : label)
    check(c >= 0 && c < classes, "feature_scores", "label ", c, " is none of ", classes, " classes");
  check(permutation.shuffles >= 1, "feature_scores", "expected one shuffle or more, got ", permutation.shuffles);
  const auto loss = [&](std::size_t, std::span<const float> logits) { return cross_entropy(logits, label); };
  const std::vector<double> original = measured(networks, input, inputs, loss);
  Scores scores(networks.size(), std::vector<double>(features.size(), 0.0));
  std::vector<float> changed(input.begin(), input.end());
  for (std::size_t f = 0; f < features.size(); ++f) {
    const auto first = static_cast<std::size_t>(features[f].first_input);
    const auto count = static_cast<std::size_t>(features[f].input_count);
    for (int shuffle = 0; shuffle < permutation.shuffles; ++shuffle) {
      const auto step = static_cast<std::uint32_t>(f) * static_cast<std::uint32_t>(permutation.shuffles) +
                        static_cast<std::uint32_t>(shuffle);
      const auto order = shuffled_order(rows, RandomStream(permutation.seed, kPermutationStream, step));
      for (std::size_t row = 0; row < rows; ++row)
        std::copy_n(input.data() + order[row] * width + first, count, changed.data() + row * width + first);
      const std::vector<double> without = measured(networks, changed, inputs, loss);
      for (std::size_t n = 0; n < networks.size(); ++n)
        scores[n][f] += (without[n] - original[n]) / permutation.shuffles;
    }
    for (std::size_t row = 0; row < rows; ++row)
      std::copy_n(input.data() + row * width + first, count, changed.data() + row * width + first);
  }
  return scores;
}

}  // namespace

std::vector<std::vector<double>> feature_scores(std::span<const SubjectNetwork* const> networks,
                                                std::span<const float> input, std::span<const Feature> features,
                                                FeatureScore kind, const PermutationImportance& permutation) {
  if (networks.empty()) return {};
  for (const SubjectNetwork* network : networks) check_features(features, network->widths.front(), "feature_scores");
  switch (kind) {
    case FeatureScore::norm: return norm_scores(networks, features);
    case FeatureScore::saliency: return saliency_scores(networks, input, features);
    case FeatureScore::divergence: return divergence_scores(networks, input, features);
    case FeatureScore::permutation: return permutation_scores(networks, input, features, permutation);
  }
  fail("feature_scores", "unknown score ", static_cast<int>(kind));
}

std::vector<std::vector<std::uint8_t>> select_features(std::span<const std::vector<double>> scores, std::int64_t kept) {
  std::vector<std::vector<std::uint8_t>> marks;
  for (const std::vector<double>& score : scores) {
    check(kept >= 0 && kept <= static_cast<std::int64_t>(score.size()), "select_features", "expected 0 to ",
          score.size(), " features to keep, got ", kept);
    std::vector<std::size_t> order(score.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return score[a] > score[b]; });
    std::vector<std::uint8_t>& mark = marks.emplace_back(score.size(), std::uint8_t{0});
    for (std::size_t f = 0; f < static_cast<std::size_t>(kept); ++f) mark[order[f]] = 1;
  }
  return marks;
}

std::vector<double> column_means(std::span<const float> input, int inputs) {
  const auto width = static_cast<std::size_t>(inputs);
  check(inputs > 0 && !input.empty() && input.size() % width == 0, "column_means", "got ", input.size(),
        " numbers for ", inputs, " inputs");
  std::vector<double> mean(width, 0.0);
  for (std::size_t i = 0; i < input.size(); ++i) mean[i % width] += input[i];
  for (double& value : mean) value /= static_cast<double>(input.size() / width);
  return mean;
}

std::vector<SubjectNetwork> remove_features(std::span<const SubjectNetwork* const> networks,
                                            std::span<const Feature> features,
                                            std::span<const std::vector<std::uint8_t>> kept,
                                            std::span<const double> column_mean) {
  check(kept.size() == networks.size(), "remove_features", "got marks of ", kept.size(), " networks for ",
        networks.size());
  std::vector<SubjectNetwork> edited(networks.size());
  parallel_for(static_cast<std::int64_t>(networks.size()), [&](std::int64_t index) {
    const auto n = static_cast<std::size_t>(index);
    const SubjectNetwork& network = *networks[n];
    const int cols = network.widths[0], rows = network.widths[1];
    check(kept[n].size() == features.size(), "remove_features", "got ", kept[n].size(), " marks for ", features.size(),
          " features");
    check(column_mean.empty() || static_cast<int>(column_mean.size()) == cols, "remove_features", "got ",
          column_mean.size(), " means for ", cols, " inputs");
    check_features(features, cols, "remove_features");
    edited[n] = network;
    for (int i = 0; i < rows; ++i) {
      double shift = 0.0;
      for (std::size_t f = 0; f < features.size(); ++f) {
        if (kept[n][f]) continue;
        for (int j = features[f].first_input; j < features[f].first_input + features[f].input_count; ++j) {
          float& weight = edited[n].weights[static_cast<std::size_t>(i * cols + j)];
          if (!column_mean.empty()) shift += weight * column_mean[static_cast<std::size_t>(j)];
          weight = 0.0f;
        }
      }
      float& bias = edited[n].biases[static_cast<std::size_t>(i)];
      bias = static_cast<float>(bias + shift);
    }
  });
  return edited;
}

}  // namespace amend
