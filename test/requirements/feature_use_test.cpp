#include "requirements/metric/feature_use.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/reach.hpp"
#include "requirements/metric/sparsity.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;

namespace {

/// A numeric feature, a one-hot group of two, a numeric feature.
std::vector<Feature> features() {
  return {{.name = "age", .first_input = 0, .input_count = 1},
          {.name = "sex", .kind = ColumnKind::categorical, .first_input = 1, .input_count = 2},
          {.name = "hours", .first_input = 3, .input_count = 1}};
}

float& weight(SubjectNetwork& network, int layer, int target, int source) {
  const int cols = network.widths[static_cast<std::size_t>(layer)];
  return network.weights[static_cast<std::size_t>(network.weight_offset(layer) + target * cols + source)];
}

std::vector<float> logits(const SubjectNetwork& network, const std::vector<float>& input) {
  const SubjectNetwork* pointer = &network;
  const int inputs = network.widths.front();
  return predict_logits({&pointer, 1}, input.data(), static_cast<std::int64_t>(input.size()) / inputs, inputs);
}

std::vector<float> data(std::int64_t rows, std::int64_t inputs) {
  const Tensor x = random_tensor({rows, inputs}, DType::float32, 5, 1.0, 0.5);
  return {x.as<float>(), x.as<float>() + x.count()};
}

}  // namespace

TEST_CASE("a feature is used when a path of non-zero weights leads from one of its inputs to an output") {
  SubjectNetwork network = random_network({4, 3, 2}, Activation::silu, 1);
  CHECK(used_features(network, features()) == std::vector<std::uint8_t>{1, 1, 1});
  for (int i = 0; i < 3; ++i) weight(network, 0, i, 1) = 0.0f;
  CHECK(used_features(network, features()) == std::vector<std::uint8_t>{1, 1, 1});  // its other column is left
  for (int i = 0; i < 3; ++i) weight(network, 0, i, 2) = 0.0f;
  CHECK(used_features(network, features()) == std::vector<std::uint8_t>{1, 0, 1});
  // `hours` reaches hidden neuron 2 alone, which leads nowhere.
  weight(network, 0, 0, 3) = weight(network, 0, 1, 3) = 0.0f;
  CHECK(used_features(network, features()) == std::vector<std::uint8_t>{1, 0, 1});
  weight(network, 1, 0, 2) = -0.0f;
  weight(network, 1, 1, 2) = 0.0f;
  CHECK(used_features(network, features()) == std::vector<std::uint8_t>{1, 0, 0});
  CHECK(weight(network, 0, 2, 3) != 0.0f);
  std::vector<Feature> outside = features();
  outside.back().input_count = 2;
  CHECK_THROWS_AS(used_features(network, outside), Error);
}

TEST_CASE("holding unused features constant changes no bit, holding a used one does") {
  SubjectNetwork network = random_network({4, 3, 2}, Activation::sigmoid, 2);
  for (int i = 0; i < 3; ++i) weight(network, 0, i, 0) = 0.0f;
  weight(network, 0, 0, 3) = weight(network, 0, 1, 3) = 0.0f;
  weight(network, 1, 0, 2) = weight(network, 1, 1, 2) = 0.0f;
  const std::vector<std::uint8_t> used = used_features(network, features());
  CHECK(used == std::vector<std::uint8_t>{0, 1, 0});
  const std::vector<float> input = data(50, 4);
  CHECK(logits(network, without_features(input, 4, features(), used)) == logits(network, input));
  CHECK(logits(network, without_features(input, 4, features(), std::vector<std::uint8_t>{1, 0, 1})) !=
        logits(network, input));
}

TEST_CASE("features are replaced by the mean of their columns") {
  const std::vector<float> input{1, 2, 3, 4, 3, 6, 5, 8};
  const std::vector<std::uint8_t> kept{1, 0, 1};
  CHECK(without_features(input, 4, features(), kept) == std::vector<float>{1, 4, 4, 4, 3, 4, 4, 8});
}

TEST_CASE("zeroing a feature or a neuron is the same as taking it out of the network") {
  const SubjectNetwork network = random_network({4, 3, 2}, Activation::tanh, 3);
  const std::vector<float> input = data(20, 4);

  SubjectNetwork masked = network, smaller = network;
  smaller.widths = {2, 3, 2};
  smaller.weights.clear();
  for (int i = 0; i < 3; ++i)
    for (int j : {0, 3}) smaller.weights.push_back(weight(masked, 0, i, j));
  for (int i = 0; i < 3; ++i) weight(masked, 0, i, 1) = weight(masked, 0, i, 2) = 0.0f;
  smaller.weights.insert(smaller.weights.end(), network.weights.begin() + 12, network.weights.end());
  std::vector<float> columns;
  for (std::size_t row = 0; row < 20; ++row) {
    columns.push_back(input[row * 4]);
    columns.push_back(input[row * 4 + 3]);
  }
  const auto with_mask = logits(masked, input), without_feature = logits(smaller, columns);
  for (std::size_t i = 0; i < with_mask.size(); ++i) CHECK(with_mask[i] == Approx(without_feature[i]).margin(1e-6));

  SubjectNetwork gated = network;
  for (int j = 0; j < 4; ++j) weight(gated, 0, 1, j) = 0.0f;
  for (int i = 0; i < 2; ++i) weight(gated, 1, i, 1) = 0.0f;
  SubjectNetwork narrower = network;
  narrower.widths = {4, 2, 2};
  narrower.weights.clear();
  for (int i : {0, 2})
    for (int j = 0; j < 4; ++j) narrower.weights.push_back(weight(gated, 0, i, j));
  for (int i = 0; i < 2; ++i)
    for (int j : {0, 2}) narrower.weights.push_back(weight(gated, 1, i, j));
  narrower.biases.erase(narrower.biases.begin() + 1);
  const auto with_gate = logits(gated, input), without_neuron = logits(narrower, input);
  for (std::size_t i = 0; i < with_gate.size(); ++i) CHECK(with_gate[i] == Approx(without_neuron[i]).margin(1e-6));
  CHECK(sparsity(gated).live_neurons == sparsity(narrower).hidden_neurons);
  CHECK(sparsity(gated).nonzero_weights == sparsity(narrower).weights);
}

TEST_CASE("the cost of a network is counted from its exact zeros") {
  SubjectNetwork network = random_network({4, 3, 2}, Activation::relu, 4);
  Sparsity cost = sparsity(network);
  CHECK(cost.weights == 18);
  CHECK(cost.nonzero_share == 1.0);
  CHECK(cost.dense_bytes == 4 * (18 + 5));
  CHECK(cost.sparse_bytes == 8 * 18 + 4 * 5);
  CHECK(cost.dense_flops == 36);
  CHECK(cost.live_neurons == 3);
  for (int j = 0; j < 4; ++j) weight(network, 0, 0, j) = 0.0f;  // neuron 0 is a constant
  weight(network, 1, 0, 1) = weight(network, 1, 1, 1) = 0.0f;   // neuron 1 leads nowhere
  weight(network, 0, 2, 0) = 1e-30f;                            // small is not zero
  cost = sparsity(network);
  CHECK(cost.nonzero_weights == 12);
  CHECK(cost.nonzero_share == Approx(12.0 / 18));
  CHECK(cost.sparse_bytes == 8 * 12 + 4 * 5);
  CHECK(cost.sparse_flops == 24);
  CHECK(cost.live_neurons == 1);
  CHECK(cost.hidden_neurons == 3);
  CHECK(reached_from_input(network)[1] == std::vector<std::uint8_t>{0, 1, 1});
  CHECK(reaching_output(network)[1] == std::vector<std::uint8_t>{1, 0, 1});
}
