// Switches of an editor that experiments turn: what it reads, and what it may do.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

using test::EditRun;

/// Elements of `values` of the parameters whose name ends so.
std::vector<double> parameters_named(const TrainedEditor& trained, const Tensor& values, const std::string& end) {
  std::vector<double> result;
  const std::vector<double> all = test::values(values);
  for (const auto& entry : trained.editor->parameters().entries())
    if (entry.name.ends_with(end))
      result.insert(result.end(), all.begin() + entry.offset, all.begin() + entry.offset + entry.shape.count());
  return result;
}

bool all_finite(const Tensor& tensor) {
  const auto values = test::values(tensor);
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

TEST_CASE("the defaults of an editor's switches, written out, give the bits of a configuration without them") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int passes = GENERATE(1, 3);
  CAPTURE(requirements, passes);
  const auto run = [&](const std::string& switches) {
    const auto trained = test::small_editor({.requirements = requirements, .passes = passes, .editor = switches},
                                            dataset, DType::float32);
    const auto networks = test::mixed_networks(5);
    return test::run_editor(trained, dataset, networks, test::spread_lambda(trained, networks.size()),
                            {.training = true, .gradients = true});
  };
  const EditRun without = run(""), with = run(", probe_features: true, edits: both");
  CHECK(test::same_bits(without.weight, with.weight));
  CHECK(test::same_bits(without.bias, with.bias));
  CHECK(test::same_bits(without.grad, with.grad));
  CHECK(without.loss == with.loss);
}

TEST_CASE("without probe features other rows change nothing of an edit but what is folded into the biases") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 2), passes = GENERATE(1, 3);
  const bool reads = GENERATE(true, false);
  CAPTURE(requirements, messages, passes, reads);
  const auto trained = test::small_editor({.requirements = requirements,
                                           .messages = messages,
                                           .passes = passes,
                                           .editor = reads ? "" : ", probe_features: false"},
                                          dataset, dtype);
  const auto networks = test::mixed_networks(5);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const EditRun run = test::run_editor(trained, dataset, networks, lambda),
                other = test::run_editor(trained, dataset, networks, lambda, {.probe_draw = 7});
  CHECK_FALSE(test::same_bits(run.weight, test::make_batch(networks, dtype).weight));
  CHECK(all_finite(run.weight));
  CHECK(all_finite(run.bias));
  CHECK(test::same_bits(run.weight, other.weight) == !reads);
  CHECK_FALSE(test::same_bits(run.bias, other.bias));
  // Nothing else reaches the biases.
  const auto unfolded = [&](std::uint32_t draw) {
    return test::run_editor(trained, dataset, networks, lambda, {.probe_draw = draw, .folds = false}).bias;
  };
  CHECK(test::same_bits(unfolded(1), unfolded(7)) == !reads);
}

TEST_CASE("without probe features the covariance of the data moves weights, by regression, but no gate") {
  const Dataset dataset = test::small_dataset(), other = test::small_dataset(90);
  const int passes = GENERATE(1, 3);
  CAPTURE(passes);
  const auto networks = test::mixed_networks(6);
  std::size_t zeros = 0, moved = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const auto trained = test::small_editor(
        {.requirements = {"data_minimisation"}, .passes = passes, .editor = ", probe_features: false"}, dataset,
        DType::float64, 0.0);
    trained.editor->randomise(seed, 0.4);
    const auto lambda = test::spread_lambda(trained, networks.size());
    const auto a = test::values(test::run_editor(trained, dataset, networks, lambda).weight),
               b = test::values(test::run_editor(trained, other, networks, lambda).weight);
    std::size_t begin = 0;
    for (const SubjectNetwork& network : networks) {
      const auto count = static_cast<std::size_t>(network.weight_count()),
                 first = static_cast<std::size_t>(network.widths[0] * network.widths[1]);
      for (std::size_t k = 0; k < count; ++k) {
        const double before = a[begin + k], after = b[begin + k];
        zeros += before == 0.0;
        moved += before != after;
        // Behind the first block nothing is replaced.
        CHECK((k < first ? (before == 0.0) == (after == 0.0) : before == after));
      }
      begin += count;
    }
  }
  CHECK(zeros > 0);
  CHECK(moved > 0);
}

TEST_CASE("without probe features an editor still reads its condition, and its priors learn nothing") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  CAPTURE(requirements);
  const auto trained = test::small_editor(
      {.requirements = requirements, .passes = 3, .editor = ", probe_features: false"}, dataset, DType::float64);
  const auto networks = test::mixed_networks(3);
  auto lambda = test::spread_lambda(trained, networks.size());
  const EditRun run = test::run_editor(trained, dataset, networks, lambda, {.training = true, .gradients = true});
  CHECK(all_finite(run.grad));
  CHECK(test::largest(parameters_named(trained, run.grad, "edge_embed.weight")) > 0.0);
  const auto gains = parameters_named(trained, run.grad, "prior_gain");
  CHECK(std::all_of(gains.begin(), gains.end(), [](double gradient) { return gradient == 0.0; }));
  const auto biases = [&] { return test::values(test::run_editor(trained, dataset, networks, lambda).bias); };
  const auto before = biases();
  lambda[0] *= 3.0;
  CHECK(test::largest_difference(before, biases()) > 0.0);
}

/// Weights of an edit and of its originals, and the share of the former that are 0.
struct EditedWeights {
  std::vector<double> original, edited, original_bias, edited_bias;

  EditedWeights(const std::vector<std::string>& requirements, int passes, const std::string& switches, bool folds) {
    const Dataset dataset = test::small_dataset();
    const auto trained = test::small_editor({.requirements = requirements, .passes = passes, .editor = switches},
                                            dataset, DType::float32);
    auto networks = test::mixed_networks(6);
    networks[1].weights[3] = 0.0f;  // pruned before
    const test::RandomBatch batch = test::make_batch(networks, DType::float32);
    const auto lambda = test::spread_lambda(trained, networks.size());
    const EditRun run = test::run_editor(trained, dataset, networks, lambda, {.folds = folds});
    original = test::values(batch.weight);
    original_bias = test::values(batch.bias);
    edited = test::values(run.weight);
    edited_bias = test::values(run.bias);
  }
  std::ptrdiff_t zeros() const { return std::count(edited.begin(), edited.end(), 0.0); }
};

TEST_CASE("an editor of masks leaves a weight as it is or removes it, and adds nothing to a bias") {
  const auto requirements =
      GENERATE(std::vector<std::string>{"pruning"}, std::vector<std::string>{"pruning", "neurons"},
               std::vector<std::string>{"pruning", "equalised_odds"});
  const int passes = GENERATE(1, 3);
  CAPTURE(requirements, passes);
  const EditedWeights mask(requirements, passes, ", edits: mask", false), both(requirements, passes, "", false);
  bool moved = false;
  for (std::size_t k = 0; k < mask.edited.size(); ++k) {
    CHECK((mask.edited[k] == 0.0 || mask.edited[k] == mask.original[k]));
    moved |= both.edited[k] != 0.0 && both.edited[k] != both.original[k];
  }
  CHECK(moved);
  CHECK(mask.zeros() > 1);
  CHECK(mask.zeros() < static_cast<std::ptrdiff_t>(mask.edited.size()));
  for (std::size_t n = 0; n < mask.edited_bias.size(); ++n)
    CHECK((mask.edited_bias[n] == mask.original_bias[n] || mask.edited_bias[n] == 0.0));
  CHECK(both.edited_bias != both.original_bias);
  // What is removed is still folded.
  CHECK(EditedWeights(requirements, passes, ", edits: mask", true).edited_bias != mask.edited_bias);
}

TEST_CASE("an editor of masks scales weights that have no gates") {
  const EditedWeights mask({"equalised_odds"}, 2, ", edits: mask", false);
  std::size_t scaled = 0;
  for (std::size_t k = 0; k < mask.edited.size(); ++k) {
    CHECK(mask.edited[k] * mask.original[k] >= 0.0);
    scaled += mask.edited[k] != mask.original[k];
  }
  CHECK(scaled > mask.edited.size() / 2);
  CHECK(mask.edited_bias == mask.original_bias);
}

TEST_CASE("an editor of residuals removes nothing, and adds the same whatever it says of scales") {
  const int passes = GENERATE(1, 3);
  const EditedWeights residual({"equalised_odds"}, passes, ", edits: residual", true);
  CHECK(residual.zeros() == 1);  // the weight that was 0 before
  CHECK(residual.edited != residual.original);
  CHECK(residual.edited_bias != residual.original_bias);

  // Logits from the edge head's bias: they scale the weights of an editor that may do both, and of no other.
  const Dataset dataset = test::small_dataset();
  const auto networks = test::mixed_networks(4);
  const auto weights_at = [&](const std::string& switches, double logit) {
    const auto trained = test::small_editor({.requirements = {"equalised_odds"}, .passes = passes, .editor = switches},
                                            dataset, DType::float64);
    for (const auto& entry : trained.editor->parameters().entries())
      for (std::int64_t k = 0; entry.name.ends_with("edge_head.out.bias") && k < entry.shape.count(); k += 2)
        trained.editor->parameters().value().as<double>()[entry.offset + k] = logit;
    return test::run_editor(trained, dataset, networks, test::spread_lambda(trained, networks.size())).weight;
  };
  CHECK(test::same_bits(weights_at(", edits: residual", -2.0), weights_at(", edits: residual", 2.0)));
  CHECK_FALSE(test::same_bits(weights_at("", -2.0), weights_at("", 2.0)));
}

TEST_CASE("an editor of residuals is refused for requirements that need gates") {
  const Dataset dataset = test::small_dataset();
  const std::string name = GENERATE("pruning", "neurons", "data_minimisation");
  const auto make = [&] {
    return test::small_editor({.requirements = {"equalised_odds", name}, .editor = ", edits: residual"}, dataset,
                              DType::float32);
  };
  CHECK_THAT(test::input_error([&] { make(); }),
             Catch::StartsWith("small.yaml: editor.edits: ") && Catch::Contains("`" + name + "`"));
}

}  // namespace
}  // namespace amend
