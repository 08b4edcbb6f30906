#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "metanet/model/editor.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

/// For every layer of neurons: the old neuron that takes each place.
using LayerOrder = std::vector<std::vector<int>>;

LayerOrder identity_order(const SubjectNetwork& network) {
  LayerOrder order;
  for (const int width : network.widths) {
    order.emplace_back(static_cast<std::size_t>(width));
    std::iota(order.back().begin(), order.back().end(), 0);
  }
  return order;
}

/// Hidden neurons in another order: rotated by the number of the layer, then reversed.
LayerOrder hidden_order(const SubjectNetwork& network) {
  LayerOrder order = identity_order(network);
  for (std::size_t layer = 1; layer + 1 < order.size(); ++layer) {
    std::rotate(order[layer].begin(), order[layer].begin() + static_cast<std::ptrdiff_t>(layer % order[layer].size()),
                order[layer].end());
    std::reverse(order[layer].begin(), order[layer].end());
  }
  return order;
}

LayerOrder swapped_inputs(const SubjectNetwork& network, int a, int b) {
  LayerOrder order = identity_order(network);
  std::swap(order[0][static_cast<std::size_t>(a)], order[0][static_cast<std::size_t>(b)]);
  return order;
}

/// Numbers of every edge of the networks (biases: of every node, inputs included), each moved to its new place.
template <class T>
std::vector<T> reorder(const std::vector<SubjectNetwork>& networks, const std::vector<LayerOrder>& orders,
                       const std::vector<T>& x, bool edges) {
  std::vector<T> result;
  std::size_t first = 0;
  for (std::size_t n = 0; n < networks.size(); ++n) {
    const auto& widths = networks[n].widths;
    for (std::size_t layer = 0; layer < widths.size(); ++layer) {
      if (!edges) {
        for (const int i : orders[n][layer]) result.push_back(x[first + static_cast<std::size_t>(i)]);
        first += static_cast<std::size_t>(widths[layer]);
      } else if (layer > 0) {
        const int cols = widths[layer - 1];
        for (const int i : orders[n][layer])
          for (const int j : orders[n][layer - 1]) result.push_back(x[first + static_cast<std::size_t>(i * cols + j)]);
        first += static_cast<std::size_t>(widths[layer] * cols);
      }
    }
  }
  return result;
}

std::vector<SubjectNetwork> reorder(const std::vector<SubjectNetwork>& networks,
                                    const std::vector<LayerOrder>& orders) {
  std::vector<SubjectNetwork> result = networks;
  for (std::size_t n = 0; n < networks.size(); ++n) {
    result[n].weights = reorder<float>({networks[n]}, {orders[n]}, networks[n].weights, true);
    std::vector<float> nodes(static_cast<std::size_t>(networks[n].widths[0]), 0.0f);
    nodes.insert(nodes.end(), networks[n].biases.begin(), networks[n].biases.end());
    nodes = reorder<float>({networks[n]}, {orders[n]}, nodes, false);
    result[n].biases.assign(nodes.begin() + networks[n].widths[0], nodes.end());
  }
  return result;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  return test::largest_difference(a, b) / std::max(test::largest(b), 1e-300);
}

/// Largest relative difference between the edit of reordered networks and the reordered edit: weights and biases, their
/// gradients, and the gradient of the parameters, which does not change.
struct Difference {
  double edit, gradient, parameters;
};

Difference compare(const std::vector<SubjectNetwork>& networks, const std::vector<LayerOrder>& orders,
                   const test::EditRun& before, const test::EditRun& after) {
  const auto apart = [&](const Tensor& moved, const Tensor& original, bool edges) {
    return distance(test::values(moved), reorder(networks, orders, test::values(original), edges));
  };
  return {std::max(apart(after.weight, before.weight, true), apart(after.bias, before.bias, false)),
          std::max(apart(after.grad_weight, before.grad_weight, true), apart(after.grad_bias, before.grad_bias, false)),
          distance(test::values(after.grad), test::values(before.grad))};
}

TEST_CASE("permuting hidden neurons permutes the edit and its gradient") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 1, 2), passes = GENERATE(1, 3);
  CAPTURE(requirements, messages, passes);
  const TrainedEditor trained = test::small_editor(
      {.requirements = requirements, .messages = messages, .passes = passes}, dataset, DType::float64);
  const auto networks = test::mixed_networks(4);
  std::vector<LayerOrder> orders;
  for (const SubjectNetwork& network : networks) orders.push_back(hidden_order(network));
  const auto lambda = test::spread_lambda(trained, networks.size());
  const auto before = test::run_editor(trained, dataset, networks, lambda, {.gradients = true});
  const auto after = test::run_editor(trained, dataset, reorder(networks, orders), lambda, {.gradients = true});
  const Difference difference = compare(networks, orders, before, after);
  const double bound = test::tolerance("editor", DType::float64, 1.0);
  CHECK(difference.edit <= bound);
  CHECK(difference.gradient <= bound);
  CHECK(difference.parameters <= bound);
  CHECK(test::largest(test::values(before.grad_weight)) > 0.0);
  // The order of the neurons matters to the numbers, so that the comparison is one.
  CHECK(distance(test::values(after.weight), test::values(before.weight)) > 1e-2);
}

/// The dataset with the columns of two numeric features, and what is known of the features, swapped.
Dataset swap_features(Dataset dataset, std::size_t a, std::size_t b) {
  const auto first = static_cast<std::size_t>(dataset.features[a].first_input),
             second = static_cast<std::size_t>(dataset.features[b].first_input);
  std::swap(dataset.features[a], dataset.features[b]);
  std::swap(dataset.features[a].first_input, dataset.features[b].first_input);
  for (Rows* rows : {&dataset.subject_train, &dataset.editor_train, &dataset.validation, &dataset.audit})
    for (std::int64_t r = 0; r < rows->count; ++r) {
      float* row = rows->input.data() + r * dataset.inputs;
      std::swap(row[first], row[second]);
    }
  return dataset;
}

TEST_CASE("relabelled inputs: equivariant together with their columns, and with their embedding") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 2);
  const bool embedding = GENERATE(false, true), move_columns = GENERATE(true, false),
             move_entries = GENERATE(true, false);
  if (!embedding && !move_entries) return;  // there are none
  CAPTURE(requirements, messages, embedding, move_columns, move_entries);
  TrainedEditor trained = test::small_editor(
      {.requirements = requirements, .messages = messages, .passes = 3, .input_embedding = embedding}, dataset,
      DType::float64);
  const auto networks = test::mixed_networks(4);
  const auto lambda = test::spread_lambda(trained, networks.size());
  constexpr int kFirst = 0, kSecond = 6;
  std::vector<LayerOrder> orders;
  for (const SubjectNetwork& network : networks) orders.push_back(swapped_inputs(network, kFirst, kSecond));
  const auto before = test::run_editor(trained, dataset, networks, lambda, {.gradients = true});
  if (embedding && move_entries) {
    const ParameterSet& parameters = trained.editor->parameters();
    for (std::size_t p = 0; p < parameters.entries().size(); ++p) {
      if (parameters.entries()[p].name != "node_entry") continue;
      const TensorView table = parameters.value(static_cast<int>(p));
      const std::int64_t width = table.extent(1);
      std::swap_ranges(table.as<double>() + kFirst * width, table.as<double>() + (kFirst + 1) * width,
                       table.as<double>() + kSecond * width);
    }
  }
  const auto after = test::run_editor(trained, move_columns ? swap_features(dataset, 0, 4) : dataset,
                                      reorder(networks, orders), lambda, {.gradients = true});
  const Difference difference = compare(networks, orders, before, after);
  if (move_columns && (!embedding || move_entries)) {
    CHECK(difference.edit <= test::tolerance("editor", DType::float64, 1.0));
    CHECK(difference.gradient <= test::tolerance("editor", DType::float64, 1.0));
  } else {
    CHECK(difference.edit > 1e-5);
  }
}

TEST_CASE("in float32 the edit is that of float64 to rounding") {
  const Dataset dataset = test::small_dataset();
  // Hard gates would turn rounding into edits; scaling does not.
  const test::EditorCase which{.requirements = {"equalised_odds"}, .messages = 2, .passes = 3};
  const TrainedEditor wide = test::small_editor(which, dataset, DType::float64),
                      narrow = test::small_editor(which, dataset, DType::float32);
  for (std::int64_t i = 0; i < wide.editor->parameters().count(); ++i)
    narrow.editor->parameters().value().as<float>()[i] =
        static_cast<float>(wide.editor->parameters().value().as<double>()[i]);
  const auto networks = test::mixed_networks(4);
  const auto lambda = test::spread_lambda(wide, networks.size());
  const auto exact = test::run_editor(wide, dataset, networks, lambda),
             run = test::run_editor(narrow, dataset, networks, lambda);
  CHECK(distance(test::values(run.weight), test::values(exact.weight)) <=
        test::tolerance("editor", DType::float32, 1.0));
  CHECK(distance(test::values(run.bias), test::values(exact.bias)) <= test::tolerance("editor", DType::float32, 1.0));
}

}  // namespace
}  // namespace amend
