#include "requirements/baseline/pruning.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/error.hpp"
#include "engine/parallel.hpp"

namespace amend {
namespace {

/// Sets all but the `kept` weights of largest score to zero.
void keep_best(std::span<float> weights, std::span<const double> score, std::int64_t kept) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto better = [&](std::size_t a, std::size_t b) {
    if (score[a] != score[b]) return score[a] > score[b];
    const float size_a = std::abs(weights[a]), size_b = std::abs(weights[b]);
    return size_a != size_b ? size_a > size_b : a < b;
  };
  std::nth_element(order.begin(), order.begin() + kept, order.end(), better);
  for (auto index = order.begin() + kept; index != order.end(); ++index) weights[*index] = 0.0f;
}

/// Calls `visit(first, count, layer)` for the weights of every layer.
template <class Visit>
void for_layers(const SubjectNetwork& network, const Visit& visit) {
  for (int layer = 0; layer < network.layers(); ++layer) {
    const std::int64_t end = layer + 1 < network.layers() ? network.weight_offset(layer + 1) : network.weight_count();
    visit(network.weight_offset(layer), end - network.weight_offset(layer), layer);
  }
}

std::vector<double> magnitudes(const SubjectNetwork& network) {
  std::vector<double> size(network.weights.size());
  std::transform(network.weights.begin(), network.weights.end(), size.begin(), [](float w) { return std::abs(w); });
  return size;
}

std::vector<double> wanda_scores(const SubjectNetwork& network, std::span<const float> node_rms) {
  const std::int64_t neurons = network.widths.front() + network.bias_count();
  check(static_cast<std::int64_t>(node_rms.size()) == neurons, "weight_scores", "network `", network.name, "` has ",
        neurons, " neurons, the probe ", node_rms.size());
  std::vector<double> score = magnitudes(network);
  const float* source = node_rms.data();
  for_layers(network, [&](std::int64_t first, std::int64_t count, int layer) {
    const int cols = network.widths[static_cast<std::size_t>(layer)];
    for (std::int64_t e = 0; e < count; ++e) score[static_cast<std::size_t>(first + e)] *= source[e % cols];
    source += cols;
  });
  return score;
}

std::vector<double> obd_scores(const SubjectNetwork& network, std::span<const float> fisher) {
  check(fisher.size() == network.weights.size(), "weight_scores", "network `", network.name, "` has ",
        network.weights.size(), " weights, the probe ", fisher.size());
  std::vector<double> cost(network.weights.size());
  for (std::size_t e = 0; e < cost.size(); ++e) {
    const double weight = network.weights[e];
    cost[e] = weight * weight * fisher[e] / 8.0;
  }
  return cost;
}

}  // namespace

std::vector<double> weight_scores(const SubjectNetwork& network, const NetworkProbe& probe, WeightScore score) {
  switch (score) {
    case WeightScore::magnitude: return magnitudes(network);
    case WeightScore::wanda: return wanda_scores(network, probe.node_rms);
    case WeightScore::obd: return obd_scores(network, probe.fisher);
  }
  fail("weight_scores", "unknown score ", static_cast<int>(score));
}

std::int64_t kept_weights(std::int64_t weights, double share_nonzero) {
  check(share_nonzero >= 0.0 && share_nonzero <= 1.0, "kept_weights", "expected a share from 0 to 1, got ",
        share_nonzero);
  return std::llround(share_nonzero * static_cast<double>(weights));
}

Pruner::Pruner(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
               const PruningMethod& method)
    : networks_(networks.begin(), networks.end()),
      method_(method),
      score_(networks.size()),
      node_mean_(networks.size()) {
  std::vector<NetworkProbe> probes(networks.size());
  if (method.needs_data()) probes = probe_networks(networks, input, {}, method.score == WeightScore::obd);
  parallel_for(static_cast<std::int64_t>(networks.size()), [&](std::int64_t index) {
    const auto n = static_cast<std::size_t>(index);
    score_[n] = weight_scores(*networks_[n], probes[n], method.score);
    if (method.fold) node_mean_[n] = std::move(probes[n].node_mean);
  });
}

std::vector<SubjectNetwork> Pruner::prune(double share_nonzero) const {
  std::vector<SubjectNetwork> pruned(networks_.size());
  parallel_for(static_cast<std::int64_t>(networks_.size()), [&](std::int64_t index) {
    const auto n = static_cast<std::size_t>(index);
    const SubjectNetwork& original = *networks_[n];
    pruned[n] = original;
    const auto keep = [&](std::int64_t first, std::int64_t count) {
      const auto begin = static_cast<std::size_t>(first), size = static_cast<std::size_t>(count);
      keep_best(std::span(pruned[n].weights).subspan(begin, size), std::span(score_[n]).subspan(begin, size),
                kept_weights(count, share_nonzero));
    };
    if (method_.scope == PruningScope::network)
      keep(0, original.weight_count());
    else
      for_layers(original, [&](std::int64_t first, std::int64_t count, int) { keep(first, count); });
    if (method_.fold) fold_mean(original, node_mean_[n], pruned[n]);
  });
  return pruned;
}

std::vector<SubjectNetwork> prune(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                                  double share_nonzero, const PruningMethod& method) {
  return Pruner(networks, input, method).prune(share_nonzero);
}

}  // namespace amend
