#include "requirements/baseline/pruning.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/sparsity.hpp"
#include "requirements/metric/utility.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;

namespace {

double mean_divergence(const SubjectNetwork& a, const SubjectNetwork& b, const std::vector<float>& input) {
  const SubjectNetwork* pair[] = {&a, &b};
  const int inputs = a.widths.front(), classes = a.widths.back();
  const auto logits = predict_logits(pair, input.data(), static_cast<std::int64_t>(input.size()) / inputs, inputs);
  const std::size_t half = logits.size() / 2;
  double sum = 0.0;
  const auto rows = row_divergence(std::span(logits).first(half), std::span(logits).last(half), classes);
  for (double value : rows) sum += value;
  return sum / static_cast<double>(rows.size());
}

std::vector<float> data(std::int64_t rows, std::int64_t inputs, double shift) {
  const Tensor x = random_tensor({rows, inputs}, DType::float32, 21, 1.0, shift);
  return {x.as<float>(), x.as<float>() + x.count()};
}

}  // namespace

TEST_CASE("removal costs of a tiny network are those worked out by hand") {
  // One input, one tanh neuron, two classes: l = z_1 - z_0 = (v_1 - v_0) a + (c_1 - c_0), a = tanh(w x + b).
  const SubjectNetwork network{.name = "tiny",
                               .widths = {1, 1, 2},
                               .activation = Activation::tanh,
                               .weights = {0.8f, -0.5f, 1.25f},
                               .biases = {0.2f, 0.1f, -0.3f}};
  const std::vector<float> x{-1.0f, 0.25f, 0.5f, 2.0f};
  double mean_x = 0.0, mean_a = 0.0;
  std::vector<double> a, information;
  for (double value : x) {
    a.push_back(std::tanh(0.8 * value + 0.2));
    const double p = 1.0 / (1.0 + std::exp(-(1.75 * a.back() - 0.4)));
    information.push_back(p * (1.0 - p));
    mean_x += value / 4, mean_a += a.back() / 4;
  }
  double first = 0.0, last = 0.0;
  for (std::size_t r = 0; r < 4; ++r) {
    const double slope = 1.75 * (1.0 - a[r] * a[r]);
    first += information[r] * slope * slope * (x[r] - mean_x) * (x[r] - mean_x) / 4;
    last += information[r] * (a[r] - mean_a) * (a[r] - mean_a) / 4;  // dl/dz is -1 and 1
  }
  const SubjectNetwork* pointer = &network;
  const NetworkProbe probe = probe_networks({&pointer, 1}, x).front();
  const std::vector<double> cost = removal_costs(network, probe);
  CHECK(cost[0] == Approx(0.8 * 0.8 * first / 8).epsilon(1e-4));
  CHECK(cost[1] == Approx(0.5 * 0.5 * last / 8).epsilon(1e-4));
  CHECK(cost[2] == Approx(1.25 * 1.25 * last / 8).epsilon(1e-4));
  CHECK(probe.node_mean[0] == Approx(mean_x));
  CHECK(probe.node_mean[1] == Approx(mean_a));

  // Two of three stay: the cheapest goes, and the bias of its target takes over what it contributed on average.
  const auto cheapest = static_cast<std::size_t>(std::min_element(cost.begin(), cost.end()) - cost.begin());
  const SubjectNetwork pruned = obd_prune({&pointer, 1}, x, 2.0 / 3).front();
  for (std::size_t e = 0; e < 3; ++e) CHECK(pruned.weights[e] == (e == cheapest ? 0.0f : network.weights[e]));
  REQUIRE(cheapest == 1);
  CHECK(pruned.biases[0] == network.biases[0]);
  CHECK(pruned.biases[1] == Approx(0.1 - 0.5 * mean_a));
  CHECK(pruned.biases[2] == network.biases[2]);
}

TEST_CASE("budgets are met exactly for every network, over all its layers") {
  const std::vector<SubjectNetwork> networks{random_network({6, 11, 3}, Activation::relu, 1),
                                             random_network({6, 5, 7, 3}, Activation::silu, 2),
                                             random_network({6, 3}, Activation::tanh, 3)};
  const auto pointers = pointers_to(networks);
  const std::vector<float> input = data(200, 6, 0.5);
  for (double share : {0.0, 0.013, 0.1, 0.5, 0.97, 1.0}) {
    const auto obd = obd_prune(pointers, input, share), magnitude = magnitude_prune(pointers, share);
    for (std::size_t n = 0; n < networks.size(); ++n) {
      const auto weights = static_cast<double>(networks[n].weights.size());
      CHECK(sparsity(obd[n]).nonzero_weights == std::llround(share * weights));
      CHECK(sparsity(magnitude[n]).nonzero_weights == std::llround(share * weights));
      CHECK(magnitude[n].biases == networks[n].biases);
      if (share == 1.0) CHECK(obd[n].biases == networks[n].biases);
      float smallest_kept = 1e30f, largest_gone = 0.0f;
      for (std::size_t e = 0; e < networks[n].weights.size(); ++e) {
        const float size = std::abs(networks[n].weights[e]);
        if (magnitude[n].weights[e] != 0.0f)
          smallest_kept = std::min(smallest_kept, size);
        else
          largest_gone = std::max(largest_gone, size);
      }
      CHECK(smallest_kept >= largest_gone);
    }
  }
  CHECK_THROWS_AS(obd_prune(pointers, input, 1.5), Error);
  CHECK_THROWS_AS(magnitude_prune(pointers, -0.1), Error);
}

TEST_CASE("equal scores keep the budget too") {
  SubjectNetwork network = random_network({4, 4, 2}, Activation::relu, 1);
  std::fill(network.weights.begin(), network.weights.end(), 0.5f);
  const SubjectNetwork* pointer = &network;
  const SubjectNetwork pruned = magnitude_prune({&pointer, 1}, 0.25).front();
  for (std::size_t e = 0; e < 24; ++e) CHECK(pruned.weights[e] == (e < 6 ? 0.5f : 0.0f));
}

TEST_CASE("a network's pruning does not depend on the others of the batch") {
  const std::vector<SubjectNetwork> networks{random_network({6, 11, 3}, Activation::relu, 1),
                                             random_network({6, 5, 7, 3}, Activation::silu, 2)};
  const std::vector<float> input = data(100, 6, 0.5);
  const auto together = obd_prune(pointers_to(networks), input, 0.4);
  for (std::size_t n = 0; n < 2; ++n) {
    const SubjectNetwork* pointer = &networks[n];
    const SubjectNetwork alone = obd_prune({&pointer, 1}, input, 0.4).front();
    CHECK(alone.weights == together[n].weights);
    CHECK(alone.biases == together[n].biases);
  }
}

TEST_CASE("the cheapest weight's removal costs about what its score says, and folding and Fisher pay") {
  const SubjectNetwork network = random_network({8, 16, 2}, Activation::tanh, 5);
  const SubjectNetwork* pointer = &network;
  const std::vector<float> input = data(1000, 8, 1.0);
  const NetworkProbe probe = probe_networks({&pointer, 1}, input).front();
  const std::vector<double> cost = removal_costs(network, probe);
  std::vector<std::size_t> order(cost.size());
  for (std::size_t e = 0; e < order.size(); ++e) order[e] = e;
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return cost[a] < cost[b]; });
  for (std::size_t rank : {order.size() / 4, order.size() / 2}) {
    SubjectNetwork without = network;
    without.weights[order[rank]] = 0.0f;
    fold_mean(network, probe.node_mean, without);
    const double measured = mean_divergence(network, without, input);
    CHECK(measured > 0.5 * cost[order[rank]]);  // a second-order estimate
    CHECK(measured < 2.0 * cost[order[rank]]);
  }
  const SubjectNetwork obd = obd_prune({&pointer, 1}, input, 0.5).front();
  SubjectNetwork unfolded = obd;
  unfolded.biases = network.biases;
  const double divergence = mean_divergence(network, obd, input);
  CHECK(divergence < mean_divergence(network, unfolded, input));
  CHECK(divergence < mean_divergence(network, magnitude_prune({&pointer, 1}, 0.5).front(), input));
}
