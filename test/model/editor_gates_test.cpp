// What closed and open gates do to a network.
#include <algorithm>
#include <catch2/catch.hpp>

#include "autograd/op/apply_edit.hpp"
#include "metanet/model/editor.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/subject_oracle.hpp"

namespace amend {
namespace {

using test::EditRun;

TEST_CASE("an editor that has not learned, with all requirements off, returns the original network bit for bit") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 2), passes = GENERATE(1, 3);
  CAPTURE(requirements, messages, passes);
  const Dataset dataset = test::small_dataset();
  const auto trained =
      test::small_editor({.requirements = requirements, .messages = messages, .passes = passes}, dataset, dtype, 0.0);
  const auto networks = test::mixed_networks(4);
  const test::RandomBatch batch = test::make_batch(networks, dtype);
  const EditRun run =
      test::run_editor(trained, dataset, networks, std::vector<double>(networks.size() * requirements.size(), 0.0));
  CHECK(test::same_bits(run.weight, batch.weight));
  CHECK(test::same_bits(run.bias, batch.bias));
}

/// The last layers of all heads: they say nothing but `logit`, to the gates that the editor has.
void say_only(TrainedEditor& trained, double logit) {
  const EditGates gates = trained.editor->gates();
  const ParameterSet& parameters = trained.editor->parameters();
  const auto set = [&](const TensorView& view, std::int64_t k, double value) {
    if (view.dtype == DType::float64)
      view.as<double>()[k] = value;
    else
      view.as<float>()[k] = static_cast<float>(value);
  };
  int heads = 0;
  for (std::size_t p = 0; p < parameters.entries().size(); ++p) {
    const std::string& name = parameters.entries()[p].name;
    const bool weight = name.ends_with(".out.weight"), bias = name.ends_with(".out.bias");
    if (!weight && !bias) continue;
    heads += weight;
    const TensorView value = parameters.value(static_cast<int>(p));
    const bool gated = name.find("feature_head") != std::string::npos || name.find("node_head") != std::string::npos
                           ? true
                           : gates.weights;  // without gates of their own weights are scaled, by 1 for a logit of 0
    // The outputs of a head are a logit, a residual, and gains on proposed moves.
    const std::int64_t outputs = bias ? value.shape[value.shape.rank() - 1] : 1;
    for (std::int64_t k = 0; k < value.count(); ++k) set(value, k, bias && gated && k % outputs == 0 ? logit : 0.0);
  }
  REQUIRE(heads >= 2);
}

TEST_CASE("an editor with any parameters whose heads open all gates and add nothing returns the original bits") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const auto requirements = GENERATE(std::vector<std::string>{"pruning"}, std::vector<std::string>{"neurons"},
                                     std::vector<std::string>{"data_minimisation"},
                                     std::vector<std::string>{"pruning", "neurons", "data_minimisation"});
  const int messages = GENERATE(0, 2), passes = GENERATE(1, 3);
  const std::string kind = GENERATE("straight_through", "hard_concrete");
  CAPTURE(requirements, messages, passes, kind);
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = test::small_editor(
      {.requirements = requirements, .messages = messages, .passes = passes, .gate = kind}, dataset, dtype);
  const auto networks = test::mixed_networks(5);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const test::RandomBatch batch = test::make_batch(networks, dtype);
  CHECK_FALSE(test::same_bits(test::run_editor(trained, dataset, networks, lambda).weight, batch.weight));
  say_only(trained, 100.0);
  const EditRun open = test::run_editor(trained, dataset, networks, lambda);
  CHECK(test::same_bits(open.weight, batch.weight));
  CHECK(test::same_bits(open.bias, batch.bias));
  say_only(trained, -100.0);
  const auto closed = test::values(test::run_editor(trained, dataset, networks, lambda).weight);
  CHECK(std::count(closed.begin(), closed.end(), 0.0) > static_cast<std::ptrdiff_t>(closed.size()) / 3);
}

/// A network seen through gates: what `gate` (edges) and `node_gate` (nodes) leave of it, the mean of what is removed
/// folded into the biases.
SubjectNetwork apply_gates(const SubjectNetwork& network, const std::vector<double>& mean, const Tensor& gate,
                           const Tensor& node_gate) {
  const test::RandomBatch batch = test::make_batch({network}, DType::float64);
  const kernels::BlockTable& table = batch.table();
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor scale = test::random_tensor({table.block_count}, DType::float64, 1, 0.0, 0.7),
               means = test::make_tensor({table.node_count}, DType::float64, mean);
  const op::EditedNetwork edited =
      op::apply_edit(tape, table, {.weight = batch.weight, .bias = batch.bias, .mean = means, .scale = scale},
                     tape.constant(gate), tape.constant(arena.zeros({table.edge_count}, DType::float64)),
                     tape.constant(node_gate), tape.constant(arena.zeros({table.node_count}, DType::float64)));
  SubjectNetwork result = network;
  batch.graph.scatter(0, edited.weight.value(), edited.bias.value(), result);
  return result;
}

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

/// The network without neuron `neuron` of layer `layer` (0: an input); its mean goes into the biases it leads to.
SubjectNetwork without_neuron(const SubjectNetwork& network, int layer, int neuron, double mean) {
  SubjectNetwork result = network;
  result.weights.clear();
  result.biases.clear();
  --result.widths[at(layer)];
  for (int l = 0; l < network.layers(); ++l)
    for (int i = 0; i < network.widths[at(l) + 1]; ++i) {
      if (l + 1 == layer && i == neuron) continue;
      float bias = network.biases[at(network.bias_offset(l) + i)];
      for (int j = 0; j < network.widths[at(l)]; ++j) {
        const float weight = network.weights[at(network.weight_offset(l) + i * network.widths[at(l)] + j)];
        if (l == layer && j == neuron)
          bias += static_cast<float>(weight * mean);
        else
          result.weights.push_back(weight);
      }
      result.biases.push_back(bias);
    }
  return result;
}

/// Largest difference of logits over some rows; `smaller` sees them without input `dropped` (-1: with all).
double logit_difference(const SubjectNetwork& a, const SubjectNetwork& smaller, int dropped = -1) {
  const Tensor x = test::random_tensor({20, 7}, DType::float64, 8);
  double result = 0.0;
  for (std::int64_t r = 0; r < 20; ++r) {
    std::vector<double> row(x.as<double>() + 7 * r, x.as<double>() + 7 * (r + 1));
    const auto logits = test::SubjectOracle(a, row.data()).activation.back();
    if (dropped >= 0) row.erase(row.begin() + dropped);
    result =
        std::max(result, test::largest_difference(logits, test::SubjectOracle(smaller, row.data()).activation.back()));
  }
  return result;
}

TEST_CASE("closing a gate is the same as removing the feature, the neuron or the weight") {
  const Activation activation = GENERATE(Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid);
  const SubjectNetwork network = test::random_network({7, 6, 5, 2}, activation, 4);
  constexpr int kNodes = 7 + 6 + 5 + 2, kEdges = 7 * 6 + 6 * 5 + 5 * 2;
  const std::vector<double> mean = test::values(test::random_tensor({kNodes}, DType::float64, 6, 0.5, 0.3));
  const Tensor open = test::random_tensor({kEdges}, DType::float64, 1, 0.0, 1.0),
               nodes_open = test::random_tensor({kNodes}, DType::float64, 1, 0.0, 1.0);
  const double rounding = 1e-5;  // float32 biases of about 1, twice
  CHECK(logit_difference(apply_gates(network, mean, open, nodes_open), network) == 0.0);
  for (const int input : {0, 3, 6}) {
    const Tensor gate = test::convert(nodes_open, DType::float64);
    gate.as<double>()[input] = 0.0;
    const SubjectNetwork closed = apply_gates(network, mean, open, gate);
    CHECK(logit_difference(closed, without_neuron(network, 0, input, mean[at(input)]), input) < rounding);
    CHECK(logit_difference(closed, network) > 1e-2);
  }
  for (const auto& [layer, neuron, node] :
       {std::tuple{1, 2, 7 + 2}, std::tuple{2, 0, 7 + 6}, std::tuple{2, 4, 7 + 6 + 4}}) {
    const Tensor gate = test::convert(nodes_open, DType::float64);
    gate.as<double>()[node] = 0.0;
    const SubjectNetwork closed = apply_gates(network, mean, open, gate);
    CHECK(logit_difference(closed, without_neuron(network, layer, neuron, mean[at(node)])) < rounding);
    CHECK(logit_difference(closed, network) > 1e-2);
  }
  // Weight (3, 1) of the second layer: from neuron 1 of the first hidden layer to neuron 3 of the second.
  const Tensor gate = test::convert(open, DType::float64);
  const std::int64_t edge = network.weight_offset(1) + 3 * 6 + 1;
  gate.as<double>()[edge] = 0.0;
  SubjectNetwork removed = network;
  removed.biases[at(network.bias_offset(1) + 3)] += static_cast<float>(mean[7 + 1] * removed.weights[at(edge)]);
  removed.weights[at(edge)] = 0.0f;
  CHECK(logit_difference(apply_gates(network, mean, gate, nodes_open), removed) < rounding);
}

/// Weights of a run, network by network.
std::vector<SubjectNetwork> edited_networks(const std::vector<SubjectNetwork>& networks, const EditRun& run) {
  const test::RandomBatch batch = test::make_batch(networks, run.weight.view().dtype);
  std::vector<SubjectNetwork> result = networks;
  for (std::size_t n = 0; n < networks.size(); ++n)
    batch.graph.scatter(static_cast<int>(n), run.weight, run.bias, result[n]);
  return result;
}

struct Zeros {
  int count = 0, of = 0;
  void operator()(float value) { count += value == 0.0f, ++of; }
  bool all() const { return count == of; }
};

TEST_CASE("gates of a delivered network are hard: inputs of a feature share one") {
  const Dataset dataset = test::small_dataset();
  const int passes = GENERATE(1, 3);
  const std::string kind = GENERATE("straight_through", "hard_concrete");
  const auto trained = test::small_editor({.requirements = {"data_minimisation"}, .passes = passes, .gate = kind},
                                          dataset, DType::float64);
  const auto networks = test::mixed_networks(15);
  const auto edited = edited_networks(
      networks, test::run_editor(trained, dataset, networks, test::spread_lambda(trained, networks.size())));
  int open = 0, closed = 0;
  for (const SubjectNetwork& network : edited) {
    for (const Feature& feature : dataset.features) {
      Zeros zeros;
      for (int i = 0; i < network.widths[1]; ++i)
        for (int k = 0; k < feature.input_count; ++k) zeros(network.weights[at(i * 7 + feature.first_input + k)]);
      CHECK((zeros.count == 0 || zeros.all()));
      ++(zeros.all() ? closed : open);
    }
    for (std::int64_t k = network.weight_offset(1); network.layers() > 1 && k < network.weight_count(); ++k)
      CHECK(network.weights[at(k)] != 0.0f);
  }
  CHECK(open > 0);
  CHECK(closed > 0);
}

TEST_CASE("gates of a delivered network are hard: a closed neuron has no row, no bias and no column") {
  const Dataset dataset = test::small_dataset();
  const int passes = GENERATE(1, 3);
  const auto trained =
      test::small_editor({.requirements = {"neurons"}, .passes = passes}, dataset, DType::float64, 0.3);
  const auto networks = test::mixed_networks(15);
  const auto edited = edited_networks(
      networks, test::run_editor(trained, dataset, networks, test::spread_lambda(trained, networks.size())));
  int open = 0, closed = 0;
  for (const SubjectNetwork& network : edited)
    for (int layer = 1; layer < network.layers(); ++layer)
      for (int i = 0; i < network.widths[at(layer)]; ++i) {
        // Seen from neighbours that are open themselves: a column is zero where its source is closed, a row likewise.
        const int before = network.widths[at(layer) - 1], here = network.widths[at(layer)],
                  after = network.widths[at(layer) + 1];
        Zeros row, column;
        for (int j = 0; j < before; ++j) row(network.weights[at(network.weight_offset(layer - 1) + i * before + j)]);
        for (int k = 0; k < after; ++k) column(network.weights[at(network.weight_offset(layer) + k * here + i)]);
        const bool no_bias = network.biases[at(network.bias_offset(layer - 1) + i)] == 0.0f;
        CHECK((!no_bias || (row.all() && column.all())));
        if (layer == 1) CHECK((row.count == 0 || (row.all() && no_bias)));
        if (layer + 1 == network.layers()) CHECK((column.count == 0 || (column.all() && no_bias)));
        ++(no_bias ? closed : open);
      }
  CHECK(open > 0);
  CHECK(closed > 0);
}

TEST_CASE("gates of a delivered network are hard: exact zeros among the weights, and zeros stay zeros") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int passes = GENERATE(1, 3);
  CAPTURE(requirements, passes);
  const auto trained =
      test::small_editor({.requirements = requirements, .passes = passes}, dataset, DType::float64, 0.3);
  auto networks = test::mixed_networks(6);
  for (SubjectNetwork& network : networks)
    for (std::size_t k = 0; k < network.weights.size(); k += 3) network.weights[k] = 0.0f;
  const auto edited = edited_networks(
      networks, test::run_editor(trained, dataset, networks, test::spread_lambda(trained, networks.size())));
  int closed = 0, open = 0, moved = 0;
  for (std::size_t n = 0; n < networks.size(); ++n)
    for (std::size_t k = 0; k < networks[n].weights.size(); ++k) {
      const float before = networks[n].weights[k], after = edited[n].weights[k];
      if (k % 3 == 0) {
        CHECK(after == 0.0f);
        continue;
      }
      ++(after == 0.0f ? closed : open);
      moved += after != 0.0f && after != before;
    }
  CHECK(open > 0);
  CHECK(moved > 0);
  CHECK((closed > 0) == (requirements != std::vector<std::string>{"equalised_odds"}));
}

TEST_CASE("stochastic gates are the same for the same seed and step") {
  const Dataset dataset = test::small_dataset();
  const auto trained =
      test::small_editor({.requirements = test::kRequirementSets[3], .passes = 3}, dataset, DType::float32);
  const auto networks = test::mixed_networks(4);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const auto run = [&](bool training) {
    return test::run_editor(trained, dataset, networks, lambda, {.training = training});
  };
  const EditRun first = run(true);
  CHECK(test::same_bits(first.weight, run(true).weight));
  CHECK_FALSE(test::same_bits(first.weight, run(false).weight));
}

}  // namespace
}  // namespace amend
