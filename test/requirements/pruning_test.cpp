#include "requirements/baseline/pruning.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/utility.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/subject_oracle.hpp"

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

constexpr PruningMethod kMagnitude{.score = WeightScore::magnitude, .fold = false}, kObdFold{};

/// Every method, with names for messages.
std::vector<std::pair<std::string, PruningMethod>> methods() {
  std::vector<std::pair<std::string, PruningMethod>> result;
  for (const WeightScore score : {WeightScore::magnitude, WeightScore::wanda, WeightScore::obd})
    for (const PruningScope scope : {PruningScope::network, PruningScope::layer})
      for (const bool fold : {false, true})
        result.push_back({"score " + std::to_string(static_cast<int>(score)) + ", scope " +
                              std::to_string(static_cast<int>(scope)) + (fold ? ", fold" : ""),
                          {score, scope, fold}});
  return result;
}

std::vector<SubjectNetwork> networks_of_three_classes() {
  return {random_network({6, 11, 3}, Activation::relu, 1), random_network({6, 5, 7, 3}, Activation::silu, 2),
          random_network({6, 3}, Activation::tanh, 3)};
}

/// Weights of a layer, (outputs, inputs).
std::span<const float> layer_weights(const SubjectNetwork& network, int layer) {
  const auto l = static_cast<std::size_t>(layer);
  return std::span(network.weights)
      .subspan(static_cast<std::size_t>(network.weight_offset(layer)),
               static_cast<std::size_t>(network.widths[l]) * static_cast<std::size_t>(network.widths[l + 1]));
}

std::int64_t nonzero(std::span<const float> weights) {
  return std::count_if(weights.begin(), weights.end(), [](float w) { return w != 0.0f; });
}

/// What every neuron passes on, [layer][neuron]: mean and root mean square over the rows, in float64.
struct Moments {
  std::vector<std::vector<double>> mean, rms;
};

Moments moments(const SubjectNetwork& network, const std::vector<float>& input) {
  const auto inputs = static_cast<std::size_t>(network.widths.front()), rows = input.size() / inputs;
  Moments result;
  for (const int width : network.widths) {
    result.mean.emplace_back(static_cast<std::size_t>(width), 0.0);
    result.rms.emplace_back(static_cast<std::size_t>(width), 0.0);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const std::vector<double> x(input.begin() + static_cast<std::ptrdiff_t>(r * inputs),
                                input.begin() + static_cast<std::ptrdiff_t>((r + 1) * inputs));
    const SubjectOracle oracle(network, x.data());
    for (std::size_t l = 0; l < result.mean.size(); ++l)
      for (std::size_t j = 0; j < result.mean[l].size(); ++j) {
        const double a = oracle.activation[l][j];
        result.mean[l][j] += a / static_cast<double>(rows);
        result.rms[l][j] += a * a / static_cast<double>(rows);
      }
  }
  for (std::vector<double>& layer : result.rms)
    for (double& value : layer) value = std::sqrt(value);
  return result;
}

}  // namespace

TEST_CASE("OBD scores of a tiny network are those worked out by hand") {
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
  const std::vector<double> cost = weight_scores(network, probe, WeightScore::obd);
  CHECK(cost[0] == Approx(0.8 * 0.8 * first / 8).epsilon(1e-4));
  CHECK(cost[1] == Approx(0.5 * 0.5 * last / 8).epsilon(1e-4));
  CHECK(cost[2] == Approx(1.25 * 1.25 * last / 8).epsilon(1e-4));
  CHECK(probe.node_mean[0] == Approx(mean_x));
  CHECK(probe.node_mean[1] == Approx(mean_a));

  // Two of three stay: the cheapest goes, and the bias of its target takes over what it contributed on average.
  const auto cheapest = static_cast<std::size_t>(std::min_element(cost.begin(), cost.end()) - cost.begin());
  const SubjectNetwork pruned = prune({&pointer, 1}, x, 2.0 / 3, kObdFold).front();
  for (std::size_t e = 0; e < 3; ++e) CHECK(pruned.weights[e] == (e == cheapest ? 0.0f : network.weights[e]));
  REQUIRE(cheapest == 1);
  CHECK(pruned.biases[0] == network.biases[0]);
  CHECK(pruned.biases[1] == Approx(0.1 - 0.5 * mean_a));
  CHECK(pruned.biases[2] == network.biases[2]);
}

TEST_CASE("budgets are met exactly by every method, over the network or in each layer") {
  const std::vector<SubjectNetwork> networks = networks_of_three_classes();
  const auto pointers = pointers_to(networks);
  const std::vector<float> input = data(200, 6, 0.5);
  for (const auto& [name, method] : methods()) {
    INFO(name);
    const Pruner pruner(pointers, input, method);
    for (double share : {0.0, 0.013, 0.1, 0.5, 0.97, 1.0}) {
      const auto pruned = pruner.prune(share);
      for (std::size_t n = 0; n < networks.size(); ++n) {
        if (method.scope == PruningScope::network)
          CHECK(nonzero(pruned[n].weights) == std::llround(share * static_cast<double>(networks[n].weights.size())));
        else
          for (int layer = 0; layer < networks[n].layers(); ++layer)
            CHECK(nonzero(layer_weights(pruned[n], layer)) ==
                  std::llround(share * static_cast<double>(layer_weights(networks[n], layer).size())));
        if (!method.fold || share == 1.0) CHECK(pruned[n].biases == networks[n].biases);
        for (std::size_t e = 0; e < networks[n].weights.size(); ++e)
          if (pruned[n].weights[e] != 0.0f) REQUIRE(pruned[n].weights[e] == networks[n].weights[e]);
      }
    }
    CHECK_THROWS_AS(pruner.prune(1.5), Error);
    CHECK_THROWS_AS(pruner.prune(-0.1), Error);
  }
}

TEST_CASE("what stays scores no less than what goes, by scores worked out in float64") {
  const std::vector<SubjectNetwork> networks = networks_of_three_classes();
  const std::vector<float> input = data(200, 6, 0.5);
  for (const WeightScore kind : {WeightScore::magnitude, WeightScore::wanda})
    for (const PruningScope scope : {PruningScope::network, PruningScope::layer}) {
      const auto pruned = prune(pointers_to(networks), input, 0.3, {kind, scope, false});
      for (std::size_t n = 0; n < networks.size(); ++n) {
        const Moments moment = moments(networks[n], input);
        double smallest_kept = 1e30, largest_gone = 0.0;
        for (int layer = 0; layer < networks[n].layers(); ++layer) {
          if (scope == PruningScope::layer) smallest_kept = 1e30, largest_gone = 0.0;
          const std::vector<double>& rms = moment.rms[static_cast<std::size_t>(layer)];
          const auto before = layer_weights(networks[n], layer), after = layer_weights(pruned[n], layer);
          for (std::size_t e = 0; e < before.size(); ++e) {
            const double score = std::abs(before[e]) * (kind == WeightScore::wanda ? rms[e % rms.size()] : 1.0);
            if (after[e] != 0.0f)
              smallest_kept = std::min(smallest_kept, score);
            else
              largest_gone = std::max(largest_gone, score);
          }
          // The probe's moments are sums of 200 numbers in float32.
          if (scope == PruningScope::layer) CHECK(smallest_kept >= largest_gone * (1.0 - 1e-5));
        }
        CHECK(smallest_kept >= largest_gone * (1.0 - 1e-5));
      }
    }
}

TEST_CASE("magnitudes, Wanda and OBD rank weights differently, and so do network and layers") {
  const std::vector<SubjectNetwork> networks = networks_of_three_classes();
  const std::vector<float> input = data(200, 6, 0.5);
  std::vector<std::vector<float>> kept;
  for (const auto& [name, method] : methods())
    if (!method.fold) kept.push_back(prune(pointers_to(networks), input, 0.3, method)[1].weights);
  for (std::size_t a = 0; a < kept.size(); ++a)
    for (std::size_t b = a + 1; b < kept.size(); ++b) CHECK(kept[a] != kept[b]);
}

TEST_CASE("Wanda scores of a tiny network are those worked out by hand") {
  const SubjectNetwork network{.name = "tiny",
                               .widths = {2, 1, 2},
                               .activation = Activation::relu,
                               .weights = {0.5f, -2.0f, -0.5f, 1.25f},
                               .biases = {0.0f, 0.1f, -0.3f}};
  const std::vector<float> x{3.0f, 0.5f, -4.0f, 0.5f};  // two rows: a = relu(1.5 - 1), relu(-2 - 1)
  const SubjectNetwork* pointer = &network;
  const NetworkProbe probe = probe_networks({&pointer, 1}, x, {}, false).front();
  CHECK(probe.fisher.empty());
  const std::vector<double> score = weight_scores(network, probe, WeightScore::wanda);
  CHECK(score[0] == Approx(0.5 * std::sqrt(12.5)));
  CHECK(score[1] == Approx(2.0 * 0.5));
  CHECK(score[2] == Approx(0.5 * std::sqrt(0.125)));
  CHECK(score[3] == Approx(1.25 * std::sqrt(0.125)));
  CHECK_THROWS_AS(weight_scores(network, probe, WeightScore::obd), Error);
  CHECK_THROWS_AS(weight_scores(network, {}, WeightScore::wanda), Error);
}

TEST_CASE("folding keeps the mean of what enters every neuron") {
  const std::vector<SubjectNetwork> networks = networks_of_three_classes();
  const std::vector<float> input = data(300, 6, 1.0);
  for (const auto& [name, method] : methods()) {
    INFO(name);
    const auto pruned = prune(pointers_to(networks), input, 0.3, method);
    for (std::size_t n = 0; n < networks.size(); ++n) {
      const Moments moment = moments(networks[n], input);
      for (int layer = 0; layer < networks[n].layers(); ++layer) {
        const std::vector<double>& mean = moment.mean[static_cast<std::size_t>(layer)];
        const auto before = layer_weights(networks[n], layer), after = layer_weights(pruned[n], layer);
        double largest_change = 0.0;
        for (std::size_t i = 0; i < before.size() / mean.size(); ++i) {
          const std::size_t bias = static_cast<std::size_t>(networks[n].bias_offset(layer)) + i;
          double change = static_cast<double>(pruned[n].biases[bias]) - networks[n].biases[bias];
          for (std::size_t j = 0; j < mean.size(); ++j)
            change += (static_cast<double>(after[i * mean.size() + j]) - before[i * mean.size() + j]) * mean[j];
          largest_change = std::max(largest_change, std::abs(change));
        }
        // With folding: float32 means and biases below 8.
        CHECK((method.fold ? largest_change < 1e-5 : largest_change > 0.05));
      }
    }
  }
}

TEST_CASE("only magnitudes without folding need no rows") {
  const std::vector<SubjectNetwork> networks = networks_of_three_classes();
  for (const auto& [name, method] : methods()) {
    INFO(name);
    if (method.needs_data())
      CHECK_THROWS_AS(prune(pointers_to(networks), {}, 0.5, method), Error);
    else
      CHECK(prune(pointers_to(networks), {}, 0.5, method)[0].weights ==
            prune(pointers_to(networks), data(50, 6, 0.5), 0.5, method)[0].weights);
  }
  CHECK(prune({}, {}, 0.5, kObdFold).empty());
}

TEST_CASE("equal scores keep the budget too") {
  SubjectNetwork network = random_network({4, 4, 2}, Activation::relu, 1);
  std::fill(network.weights.begin(), network.weights.end(), 0.5f);
  const SubjectNetwork* pointer = &network;
  const SubjectNetwork pruned = prune({&pointer, 1}, {}, 0.25, kMagnitude).front();
  for (std::size_t e = 0; e < 24; ++e) CHECK(pruned.weights[e] == (e < 6 ? 0.5f : 0.0f));
}

TEST_CASE("a network's pruning does not depend on the others of the batch or on the number of threads") {
  const std::vector<SubjectNetwork> networks = networks_of_three_classes();
  const std::vector<float> input = data(100, 6, 0.5);
  for (const auto& [name, method] : methods()) {
    INFO(name);
    const ThreadCount one(1);
    const auto together = prune(pointers_to(networks), input, 0.4, method);
    const ThreadCount several(3);
    const auto again = prune(pointers_to(networks), input, 0.4, method);
    for (std::size_t n = 0; n < networks.size(); ++n) {
      const SubjectNetwork* pointer = &networks[n];
      const SubjectNetwork alone = prune({&pointer, 1}, input, 0.4, method).front();
      CHECK(alone.weights == together[n].weights);
      CHECK(alone.biases == together[n].biases);
      CHECK(again[n].weights == together[n].weights);
      CHECK(again[n].biases == together[n].biases);
    }
  }
}

TEST_CASE("the cheapest weight's removal costs about what its score says, and folding and Fisher pay") {
  const SubjectNetwork network = random_network({8, 16, 2}, Activation::tanh, 5);
  const SubjectNetwork* pointer = &network;
  const std::vector<float> input = data(1000, 8, 1.0);
  const NetworkProbe probe = probe_networks({&pointer, 1}, input).front();
  const std::vector<double> cost = weight_scores(network, probe, WeightScore::obd);
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
  const SubjectNetwork obd = prune({&pointer, 1}, input, 0.5, kObdFold).front();
  SubjectNetwork unfolded = obd;
  unfolded.biases = network.biases;
  const double divergence = mean_divergence(network, obd, input);
  CHECK(divergence < mean_divergence(network, unfolded, input));
  CHECK(divergence < mean_divergence(network, prune({&pointer, 1}, {}, 0.5, kMagnitude).front(), input));
}
