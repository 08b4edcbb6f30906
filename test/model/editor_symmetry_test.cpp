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

/// The places of input columns (`first` layer) or of classes (the last) taken in another order.
LayerOrder with_layer(const SubjectNetwork& network, bool first, const std::vector<int>& places) {
  LayerOrder order = identity_order(network);
  (first ? order.front() : order.back()) = places;
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

/// Weights at which something stays open though gates of several kinds close parts of one another.
std::vector<double> mild_lambda(const TrainedEditor& trained, std::size_t networks) {
  std::vector<double> lambda = test::spread_lambda(trained, networks);
  if (trained.config.lambda.size() > 1)
    for (double& value : lambda) value *= 0.01;
  return lambda;
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
  const auto lambda = mild_lambda(trained, networks.size());
  const auto before = test::run_editor(trained, dataset, networks, lambda, {.gradients = true});
  const auto after = test::run_editor(trained, dataset, reorder(networks, orders), lambda, {.gradients = true});
  REQUIRE(test::largest(test::values(before.weight)) > 0.0);
  const Difference difference = compare(networks, orders, before, after);
  const double bound = test::tolerance("editor", DType::float64, 1.0);
  CHECK(difference.edit <= bound);
  CHECK(difference.gradient <= bound);
  CHECK(difference.parameters <= bound);
  CHECK(test::largest(test::values(before.grad_weight)) > 0.0);
  // The order of the neurons matters to the numbers, so that the comparison is one.
  CHECK(distance(test::values(after.weight), test::values(before.weight)) > 1e-2);
}

/// For every input column the old one that takes its place when whole features take the places `features`.
std::vector<int> column_order(const Dataset& dataset, const std::vector<std::size_t>& features) {
  std::vector<int> columns;
  for (const std::size_t f : features)
    for (int k = 0; k < dataset.features[f].input_count; ++k) columns.push_back(dataset.features[f].first_input + k);
  return columns;
}

/// The dataset with its features, and the columns of its rows, in another order.
Dataset reorder_features(const Dataset& dataset, const std::vector<std::size_t>& features) {
  Dataset result = dataset;
  const std::vector<int> columns = column_order(dataset, features);
  int first = 0;
  for (std::size_t f = 0; f < features.size(); ++f) {
    result.features[f] = dataset.features[features[f]];
    result.features[f].first_input = first;
    first += result.features[f].input_count;
  }
  for (Rows* rows : {&result.subject_train, &result.editor_train, &result.validation, &result.audit})
    for (std::int64_t r = 0; r < rows->count; ++r) {
      float* row = rows->input.data() + r * dataset.inputs;
      const std::vector<float> before(row, row + dataset.inputs);
      for (std::size_t k = 0; k < columns.size(); ++k) row[k] = before[static_cast<std::size_t>(columns[k])];
    }
  return result;
}

TensorView parameter(TrainedEditor& trained, const std::string& name) {
  const ParameterSet& parameters = trained.editor->parameters();
  for (std::size_t p = 0; p < parameters.entries().size(); ++p)
    if (parameters.entries()[p].name == name) return parameters.value(static_cast<int>(p));
  return {};
}

/// Rows [first, first + order) of the node embedding in another order.
void reorder_entries(TrainedEditor& trained, int first, const std::vector<int>& order) {
  const TensorView table = parameter(trained, "node_entry");
  const std::int64_t width = table.extent(1);
  double* rows = table.as<double>() + first * width;
  const std::vector<double> before(rows, rows + static_cast<std::int64_t>(order.size()) * width);
  for (std::size_t k = 0; k < order.size(); ++k)
    std::copy_n(before.data() + order[k] * width, width, rows + static_cast<std::int64_t>(k) * width);
}

/// Column `column` of a weight matrix, set to zero: what it reads is not read.
void blind(TrainedEditor& trained, const std::string& name, std::int64_t column) {
  const TensorView weight = parameter(trained, name);
  REQUIRE(weight);
  for (std::int64_t row = 0; row < weight.extent(0); ++row) weight.as<double>()[row * weight.extent(1) + column] = 0.0;
}

TEST_CASE("relabelled inputs: equivariant together with their columns, and with their embedding") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  // Two numeric features change places; the one-hot feature moves to the end with all its levels.
  const auto features = GENERATE(std::vector<std::size_t>{4, 1, 2, 3, 0}, std::vector<std::size_t>{0, 1, 3, 4, 2});
  const int messages = GENERATE(0, 2);
  const bool embedding = GENERATE(false, true), move_columns = GENERATE(true, false),
             move_entries = GENERATE(true, false);
  if (!embedding && !move_entries) return;  // there are none
  CAPTURE(requirements, features, messages, embedding, move_columns, move_entries);
  TrainedEditor trained = test::small_editor(
      {.requirements = requirements, .messages = messages, .passes = 3, .input_embedding = embedding}, dataset,
      DType::float64);
  const auto networks = test::mixed_networks(4);
  const auto lambda = mild_lambda(trained, networks.size());
  const std::vector<int> columns = column_order(dataset, features);
  std::vector<LayerOrder> orders;
  for (const SubjectNetwork& network : networks) orders.push_back(with_layer(network, true, columns));
  const auto before = test::run_editor(trained, dataset, networks, lambda, {.gradients = true});
  if (embedding && move_entries) reorder_entries(trained, 0, columns);
  const auto after = test::run_editor(trained, move_columns ? reorder_features(dataset, features) : dataset,
                                      reorder(networks, orders), lambda, {.gradients = true});
  REQUIRE(test::largest(test::values(before.weight)) > 0.0);
  const Difference difference = compare(networks, orders, before, after);
  if (move_columns && (!embedding || move_entries)) {
    CHECK(difference.edit <= test::tolerance("editor", DType::float64, 1.0));
    CHECK(difference.gradient <= test::tolerance("editor", DType::float64, 1.0));
  } else {
    CHECK(difference.edit > 1e-5);
  }
}

TEST_CASE("networks on a dataset that an editor never saw: relabelled features permute the edit and its gradient") {
  const Dataset seen = test::small_dataset(), unseen = test::other_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const auto features = GENERATE(std::vector<std::size_t>{1, 0, 2}, std::vector<std::size_t>{2, 1, 0});
  const int messages = GENERATE(0, 2);
  const bool read_statistics = GENERATE(true, false), move_columns = GENERATE(true, false);
  CAPTURE(requirements, features, messages, read_statistics, move_columns);
  TrainedEditor trained =
      test::small_editor({.requirements = requirements, .messages = messages, .passes = 3, .input_embedding = false},
                         seen, DType::float64);
  const auto networks = test::mixed_networks(4, 1, unseen.inputs);
  const auto lambda = mild_lambda(trained, networks.size());
  const auto with_statistics = test::run_editor(trained, unseen, networks, lambda);
  if (!read_statistics)
    for (std::int64_t column = 0; column < kInputStatistics; ++column) blind(trained, "input_statistics", column);
  std::vector<LayerOrder> orders;
  for (const SubjectNetwork& network : networks)
    orders.push_back(with_layer(network, true, column_order(unseen, features)));
  const auto before = test::run_editor(trained, unseen, networks, lambda, {.gradients = true});
  const auto after = test::run_editor(trained, move_columns ? reorder_features(unseen, features) : unseen,
                                      reorder(networks, orders), lambda, {.gradients = true});
  REQUIRE(test::largest(test::values(before.weight)) > 0.0);
  // What is read of the columns changes the edit.
  CHECK((distance(test::values(before.weight), test::values(with_statistics.weight)) > 1e-5) != read_statistics);
  const Difference difference = compare(networks, orders, before, after);
  if (move_columns) {
    CHECK(difference.edit <= test::tolerance("editor", DType::float64, 1.0));
    CHECK(difference.gradient <= test::tolerance("editor", DType::float64, 1.0));
    CHECK(difference.parameters <= test::tolerance("editor", DType::float64, 1.0));
  } else {
    CHECK(difference.edit > 1e-5);
  }
}

/// One row for every (label, group of both attributes), and a label that is the other one when `swapped`: a cell's rows
/// are then the same whatever its number.
Dataset one_row_a_cell(bool swapped) {
  Dataset dataset = test::small_dataset();
  const Rows all = dataset.editor_train;
  Rows& rows = dataset.editor_train;
  rows = {};
  rows.sensitive.resize(2);
  std::vector<bool> seen(12, false);
  for (std::size_t r = 0; r < static_cast<std::size_t>(all.count); ++r) {
    const auto cell = static_cast<std::size_t>((all.label[r] * 2 + all.sensitive[0][r]) * 3 + all.sensitive[1][r]);
    if (seen[cell]) continue;
    seen[cell] = true;
    const auto first = all.input.begin() + static_cast<std::ptrdiff_t>(r) * dataset.inputs;
    rows.input.insert(rows.input.end(), first, first + dataset.inputs);
    rows.label.push_back(swapped ? 1 - all.label[r] : all.label[r]);
    for (std::size_t a = 0; a < 2; ++a) rows.sensitive[a].push_back(all.sensitive[a][r]);
    ++rows.count;
  }
  REQUIRE(rows.count == 12);
  return dataset;
}

TEST_CASE("swapped classes: equivariant together with labels and embeddings, the sign of the margin apart") {
  // The one thing that tells class 1 from class 0 is the correlation of neurons with the margin z_1 - z_0, which
  // changes its sign; an editor that does not read it is symmetric. (`equal_opportunity` is about class 1 and is not.)
  const Dataset dataset = one_row_a_cell(false), swapped = one_row_a_cell(true);
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 2);
  const bool embedding = GENERATE(false, true), move_entries = GENERATE(true, false),
             read_margin = GENERATE(false, true);
  if (!embedding && !move_entries) return;
  CAPTURE(requirements, messages, embedding, move_entries, read_margin);
  TrainedEditor trained = test::small_editor(
      {.requirements = requirements, .messages = messages, .passes = 3, .input_embedding = embedding}, dataset,
      DType::float64);
  trained.config.sensitive = {"group", "region"};
  if (!read_margin) {
    // Nor the correlation of inputs with class 1.
    if (!embedding) blind(trained, "input_statistics", 3);
    blind(trained, "node_embed.weight", 6);
    blind(trained, "refine.node_features.weight", 3);
    blind(trained, "refine.node_head.features.weight", 3);
  }
  const auto networks = test::mixed_networks(4);
  const auto lambda = mild_lambda(trained, networks.size());
  std::vector<LayerOrder> orders;
  for (const SubjectNetwork& network : networks) orders.push_back(with_layer(network, false, {1, 0}));
  const auto before = test::run_editor(trained, dataset, networks, lambda, {.gradients = true});
  if (embedding && move_entries) reorder_entries(trained, dataset.inputs, {1, 0});
  const auto after = test::run_editor(trained, swapped, reorder(networks, orders), lambda, {.gradients = true});
  REQUIRE(test::largest(test::values(before.weight)) > 0.0);
  const Difference difference = compare(networks, orders, before, after);
  if (!read_margin && (!embedding || move_entries)) {
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
