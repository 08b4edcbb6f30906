#include "requirements/baseline/pruning.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/error.hpp"
#include "engine/parallel.hpp"

namespace amend {
namespace {

/// Sets all but the `kept` weights of largest score to zero.
void keep_best(SubjectNetwork& network, const std::vector<double>& score, std::int64_t kept) {
  const std::vector<float>& weights = network.weights;
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto better = [&](std::size_t a, std::size_t b) {
    if (score[a] != score[b]) return score[a] > score[b];
    const float size_a = std::abs(weights[a]), size_b = std::abs(weights[b]);
    return size_a != size_b ? size_a > size_b : a < b;
  };
  std::nth_element(order.begin(), order.begin() + kept, order.end(), better);
  for (auto index = order.begin() + kept; index != order.end(); ++index) network.weights[*index] = 0.0f;
}

}  // namespace

std::vector<double> removal_costs(const SubjectNetwork& network, const NetworkProbe& probe) {
  check(probe.fisher.size() == network.weights.size(), "removal_costs", "network `", network.name, "` has ",
        network.weights.size(), " weights, the probe ", probe.fisher.size());
  std::vector<double> cost(network.weights.size());
  for (std::size_t e = 0; e < cost.size(); ++e) {
    const double weight = network.weights[e];
    cost[e] = weight * weight * probe.fisher[e] / 8.0;
  }
  return cost;
}

std::int64_t kept_weights(const SubjectNetwork& network, double share_nonzero) {
  check(share_nonzero >= 0.0 && share_nonzero <= 1.0, "kept_weights", "expected a share from 0 to 1, got ",
        share_nonzero);
  return std::llround(share_nonzero * static_cast<double>(network.weights.size()));
}

std::vector<SubjectNetwork> obd_prune(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                                      double share_nonzero) {
  const std::vector<NetworkProbe> probes = probe_networks(networks, input);
  std::vector<SubjectNetwork> pruned(networks.size());
  parallel_for(static_cast<std::int64_t>(networks.size()), [&](std::int64_t index) {
    const auto n = static_cast<std::size_t>(index);
    pruned[n] = *networks[n];
    keep_best(pruned[n], removal_costs(*networks[n], probes[n]), kept_weights(*networks[n], share_nonzero));
    fold_mean(*networks[n], probes[n].node_mean, pruned[n]);
  });
  return pruned;
}

std::vector<SubjectNetwork> magnitude_prune(std::span<const SubjectNetwork* const> networks, double share_nonzero) {
  std::vector<SubjectNetwork> pruned(networks.size());
  parallel_for(static_cast<std::int64_t>(networks.size()), [&](std::int64_t index) {
    const auto n = static_cast<std::size_t>(index);
    pruned[n] = *networks[n];
    std::vector<double> size(pruned[n].weights.size());
    std::transform(pruned[n].weights.begin(), pruned[n].weights.end(), size.begin(),
                   [](float w) { return std::abs(w); });
    keep_best(pruned[n], size, kept_weights(*networks[n], share_nonzero));
  });
  return pruned;
}

}  // namespace amend
