#include "metanet/train/batch_editor.hpp"

#include <catch2/catch.hpp>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/random_networks.hpp"

namespace amend {
namespace {

bool same_bits(const SubjectNetwork& a, const SubjectNetwork& b) {
  return a.widths == b.widths && a.activation == b.activation && a.weights == b.weights && a.biases == b.biases;
}

TEST_CASE("a network's edit has the same bits alone, in any batch and for any number of threads") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 1, 2), passes = GENERATE(1, 3);
  CAPTURE(requirements, messages, passes);
  TrainedEditor trained = test::small_editor({.requirements = requirements, .messages = messages, .passes = passes},
                                             dataset, DType::float32);
  const auto networks = test::mixed_networks(9);
  const auto pointers = pointers_to(networks);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const std::size_t width = requirements.size();
  BatchEditor editor(trained, dataset);
  std::vector<EditResult> all;
  {
    const test::ThreadCount one(1);
    all = editor.edit(pointers, lambda);
  }
  REQUIRE(all.size() == 9);
  for (std::size_t n = 0; n < 9; ++n) {
    CHECK_FALSE(same_bits(all[n].network, networks[n]));
    CHECK(same_bits(all[n].network, editor.edit({&pointers[n], 1}, {&lambda[n * width], width})[0].network));
  }
  for (const int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    const auto again = editor.edit(pointers, lambda);
    for (std::size_t n = 0; n < 9; ++n) CHECK(same_bits(all[n].network, again[n].network));
    BatchEditor other(trained, dataset);
    // Five of them in another order, and so in other places of a shard.
    const std::vector<std::size_t> picks = {8, 3, 0, 6, 1};
    std::vector<const SubjectNetwork*> some;
    std::vector<double> some_lambda;
    for (const std::size_t n : picks) {
      some.push_back(pointers[n]);
      some_lambda.insert(some_lambda.end(), lambda.begin() + static_cast<std::ptrdiff_t>(n * width),
                         lambda.begin() + static_cast<std::ptrdiff_t>((n + 1) * width));
    }
    const auto five = other.edit(some, some_lambda);
    for (std::size_t k = 0; k < 5; ++k) CHECK(same_bits(five[k].network, all[picks[k]].network));
  }
  const auto in_twos = editor.edit_all(pointers, lambda, 2);
  REQUIRE(in_twos.size() == 9);
  for (std::size_t n = 0; n < 9; ++n) CHECK(same_bits(all[n].network, in_twos[n].network));
}

TEST_CASE("a network's edit depends on its own condition only") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  CAPTURE(requirements);
  TrainedEditor trained =
      test::small_editor({.requirements = requirements, .messages = 1, .passes = 3}, dataset, DType::float32);
  const auto networks = test::mixed_networks(5);
  const auto pointers = pointers_to(networks);
  auto lambda = test::spread_lambda(trained, networks.size());
  BatchEditor editor(trained, dataset);
  const auto before = editor.edit(pointers, lambda);
  for (std::size_t r = 0; r < requirements.size(); ++r) {
    auto other = lambda;
    other[2 * requirements.size() + r] *= 1.7;
    const auto after = editor.edit(pointers, other);
    for (std::size_t n = 0; n < 5; ++n) CHECK(same_bits(before[n].network, after[n].network) == (n != 2));
  }
}

TEST_CASE("an edit reports the share of weights and the features that are left") {
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = test::small_editor({.requirements = {"data_minimisation"}}, dataset, DType::float32, 0.3);
  const auto networks = test::mixed_networks(10);
  BatchEditor editor(trained, dataset);
  std::size_t dropped = 0;
  for (const EditResult& result : editor.edit(pointers_to(networks), test::spread_lambda(trained, 10))) {
    const SubjectNetwork& network = result.network;
    double open = 0.0;
    for (const float weight : network.weights) open += weight != 0.0f;
    CHECK(result.nonzero_share == Approx(open / static_cast<double>(network.weights.size())));
    std::vector<std::string> used;
    for (const Feature& feature : dataset.features) {
      bool read = false;
      for (int i = 0; i < network.widths[1]; ++i)
        for (int k = 0; k < feature.input_count; ++k)
          read = read || network.weights[static_cast<std::size_t>(i * 7 + feature.first_input + k)] != 0.0f;
      if (read) used.push_back(feature.name);
    }
    CHECK(result.features == used);
    dropped += dataset.features.size() - used.size();
  }
  CHECK(dropped > 0);
}

TEST_CASE("an edit in tf32 or bf16 is near that in float32, in its own bits") {
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = test::small_editor({.requirements = {"equalised_odds"}, .messages = 2, .edge_width = 16},
                                             dataset, DType::float32);
  const auto networks = test::mixed_networks(3);
  const auto edit = [&](kernels::Precision precision) {
    trained.editor->set_precision(precision);
    BatchEditor editor(trained, dataset);
    return editor.edit(pointers_to(networks), test::spread_lambda(trained, networks.size()));
  };
  // Training multiplies so too.
  const auto loss = [&](kernels::Precision precision) {
    trained.editor->set_precision(precision);
    return test::run_editor(trained, dataset, networks, test::spread_lambda(trained, networks.size()),
                            {.training = true, .gradients = true})
        .loss;
  };
  CHECK(loss(kernels::Precision::bf16) != loss(kernels::Precision::float32));
  CHECK(loss(kernels::Precision::bf16) == Approx(loss(kernels::Precision::float32)).epsilon(2e-3));
  const auto exact = edit(kernels::Precision::float32);
  for (const auto precision : {kernels::Precision::tf32, kernels::Precision::bf16}) {
    const double bound = precision == kernels::Precision::tf32 ? 2e-4 : 2e-3;
    const auto rounded = edit(precision);
    for (std::size_t n = 0; n < networks.size(); ++n) {
      CHECK_FALSE(same_bits(rounded[n].network, exact[n].network));
      double difference = 0.0, largest = 0.0;
      for (std::size_t i = 0; i < networks[n].weights.size(); ++i) {
        const auto weight = static_cast<double>(exact[n].network.weights[i]);
        difference = std::max(difference, std::abs(static_cast<double>(rounded[n].network.weights[i]) - weight));
        largest = std::max(largest, std::abs(weight));
      }
      INFO(to_string(precision) << ": " << difference / largest);
      CHECK(difference < bound * largest);
    }
  }
}

TEST_CASE("an edit takes no more memory for more message layers") {
  const Dataset dataset = test::small_dataset();
  const auto network = test::random_network({7, 300, 300, 2}, Activation::relu, 1);
  const SubjectNetwork* pointer = &network;
  const auto memory = [&](int messages) {
    TrainedEditor trained = test::small_editor({.requirements = {"pruning"}, .messages = messages, .edge_width = 32},
                                               dataset, DType::float32);
    BatchEditor editor(trained, dataset);
    (void)editor.edit({&pointer, 1}, test::spread_lambda(trained, 1));
    return editor.memory();
  };
  CHECK(memory(6) == memory(1));  // a state takes 11.9 MB
}

TEST_CASE("an edit in bf16 stores states of weights in half the memory") {
  const Dataset dataset = test::small_dataset();
  const auto network = test::random_network({7, 500, 500, 2}, Activation::relu, 1);
  const SubjectNetwork* pointer = &network;
  const auto memory = [&](kernels::Precision precision) {
    TrainedEditor trained =
        test::small_editor({.requirements = {"pruning"}, .messages = 1, .edge_width = 32}, dataset, DType::float32);
    trained.editor->set_precision(precision);
    BatchEditor editor(trained, dataset);
    (void)editor.edit({&pointer, 1}, test::spread_lambda(trained, 1));
    return editor.memory();
  };
  const std::size_t half = network.weights.size() * 32 * 2;  // up to the ends of the arena's chunks
  CHECK(memory(kernels::Precision::float32) - memory(kernels::Precision::bf16) > half / 10 * 9);
}

TEST_CASE("an edit takes no more memory for a third pass") {
  const Dataset dataset = test::small_dataset();
  const auto network = test::random_network({7, 900, 900, 2}, Activation::relu, 1);
  const SubjectNetwork* pointer = &network;
  const int messages = GENERATE(0, 1);
  const auto memory = [&](int passes) {
    TrainedEditor trained = test::small_editor({.requirements = {"pruning"}, .messages = messages, .passes = passes},
                                               dataset, DType::float32);
    BatchEditor editor(trained, dataset);
    (void)editor.edit({&pointer, 1}, test::spread_lambda(trained, 1));
    return editor.memory();
  };
  CHECK(memory(3) == memory(2));  // a number a weight takes 3.3 MB
  // Less than twice what a refinement pass has at once: 11 numbers a weight and the states of edges.
  const double numbers = 11 + (messages > 0 ? 8 : 0);
  CHECK(static_cast<double>(memory(3)) < 2.0 * 4.0 * numbers * static_cast<double>(network.weights.size()));
}

TEST_CASE("an edit, whose passes give their memory back, has the bits of a run that keeps them for its gradients") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 2), passes = GENERATE(1, 3);
  const std::string edits = GENERATE("", ", edits: mask", ", edits: residual");
  if (edits == ", edits: residual" && requirements != std::vector<std::string>{"equalised_odds"}) return;
  CAPTURE(requirements, messages, passes, edits);
  TrainedEditor trained = test::small_editor(
      {.requirements = requirements, .messages = messages, .passes = passes, .editor = edits}, dataset, DType::float32);
  const auto networks = test::mixed_networks(4);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const test::EditRun edit = test::run_editor(trained, dataset, networks, lambda),
                      kept = test::run_editor(trained, dataset, networks, lambda, {.gradients = true});
  CHECK(test::same_bits(edit.weight, kept.weight));
  CHECK(test::same_bits(edit.bias, kept.bias));
}

TEST_CASE("editing names what does not fit") {
  Dataset dataset = test::small_dataset();
  TrainedEditor trained = test::small_editor({.requirements = {"pruning"}}, dataset, DType::float32);
  BatchEditor editor(trained, dataset);
  CHECK(editor.edit({}, {}).empty());
  SubjectNetwork wide = test::random_network({8, 3, 2}, Activation::relu, 1);
  wide.name = "wide";
  const SubjectNetwork* pointer = &wide;
  const std::vector<double> one = {0.01};
  CHECK_THAT(test::input_error([&] {
               editor.edit({&pointer, 1}, one);
             }),
             Catch::Contains("network `wide`: expected 7 inputs and 2 outputs, got 8 and 2"));
  CHECK_THROWS_WITH(editor.edit({&pointer, 1}, {}), Catch::Contains("expected 1 weights, got 0"));
  dataset.fingerprint = "fedcba9876543210";
  CHECK_THAT(test::input_error([&] { BatchEditor(trained, dataset); }),
             Catch::Contains("small.yaml: expected the dataset the editor was trained for, `small`") &&
                 Catch::Contains("0123456789ab") && Catch::Contains("fedcba987654"));
}

}  // namespace
}  // namespace amend
