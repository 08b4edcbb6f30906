// Gradients of the whole loss by the editor's parameters against central differences. Probes in refinement passes are
// constants to the gradient but not to differences: of the parameters whose effect passes through none, all are
// checked.
#include <catch2/catch.hpp>
#include <cmath>

#include "engine/random.hpp"
#include "metanet/model/editor.hpp"
#include "requirements/registry.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

/// Compares elements `index` of the parameters.
void check_gradient(TrainedEditor& trained, const Dataset& dataset, const std::vector<std::int64_t>& index,
                    Scalarisation scalarisation = Scalarisation::linear) {
  const test::ThreadCount one(1);
  const auto networks = test::mixed_networks(3);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const test::EditRun run = test::run_editor(trained, dataset, networks, lambda,
                                             {.training = true, .gradients = true, .scalarisation = scalarisation});
  const double magnitude = std::max(std::fabs(run.loss), test::largest(test::values(run.grad)));
  double* value = trained.editor->parameters().value().as<double>();
  for (const std::int64_t i : index) {
    const double before = value[i], step = 1e-6;
    const auto loss_at = [&](double x) {
      value[i] = x;
      return test::run_editor(trained, dataset, networks, lambda, {.training = true, .scalarisation = scalarisation})
          .loss;
    };
    const double expected = (loss_at(before + step) - loss_at(before - step)) / (2.0 * step);
    value[i] = before;
    INFO("element " << i << ": tape " << run.grad.as<double>()[i] << ", differences " << expected);
    CHECK(std::fabs(expected - run.grad.as<double>()[i]) <= test::tolerance("gradcheck", DType::float64, magnitude));
  }
}

/// One or two elements of every parameter whose name begins with `prefix`.
std::vector<std::int64_t> sample(const TrainedEditor& trained, const std::string& prefix) {
  std::vector<std::int64_t> index;
  const RandomStream pick(9, 1);
  for (const auto& entry : trained.editor->parameters().entries()) {
    if (entry.name.rfind(prefix, 0) != 0) continue;
    const auto count = static_cast<std::uint32_t>(entry.shape.count());
    for (int k = 0; k < (count > 1 ? 2 : 1); ++k) index.push_back(entry.offset + pick.below(index.size(), count));
  }
  return index;
}

/// Logits never reach a bound of 50; at their bound the gradient passes on purpose though the gate stays.
TrainedEditor smooth_editor(const std::vector<std::string>& requirements, int messages, int passes,
                            const Dataset& dataset, const std::string& switches = "") {
  EditorConfig config = test::small_config({.requirements = requirements,
                                            .messages = messages,
                                            .passes = passes,
                                            .gate = "hard_concrete",
                                            .editor = switches});
  config.gates.bound = 50.0;
  config.gates.temperature = 0.9;
  TrainedEditor trained = make_editor(config, dataset, make_requirements, DType::float64, Device::cpu());
  trained.editor->randomise(5, 0.15);
  return trained;
}

TEST_CASE("one pass: the gradient by every parameter is that of finite differences") {
  const Dataset dataset = test::small_dataset(200);
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 1, 2, 3);
  CAPTURE(requirements, messages);
  TrainedEditor trained = smooth_editor(requirements, messages, 1, dataset);
  const auto index = sample(trained, "");
  CHECK(index.size() >= 30);
  check_gradient(trained, dataset, index);
}

TEST_CASE("refinement: the gradient by every parameter of the pass is that of finite differences") {
  const Dataset dataset = test::small_dataset(200);
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int messages = GENERATE(0, 1, 3);
  CAPTURE(requirements, messages);
  TrainedEditor trained = smooth_editor(requirements, messages, 2, dataset);
  const auto index = sample(trained, "refine.");
  CHECK(index.size() >= 25);
  check_gradient(trained, dataset, index);
}

TEST_CASE("three passes: the gradient by what only the last one reads is that of finite differences") {
  // The weights of the flag of the second refinement: nothing before the last pass sees them.
  const Dataset dataset = test::small_dataset(200);
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  CAPTURE(requirements);
  TrainedEditor trained = smooth_editor(requirements, 1, 3, dataset);
  std::vector<std::int64_t> index;
  for (const auto& entry : trained.editor->parameters().entries())
    if (entry.name == "refine.network.weight")
      for (std::int64_t row = 0; row < entry.shape[0]; ++row) index.push_back(entry.offset + row * entry.shape[1] + 2);
  REQUIRE(index.size() == 8);
  check_gradient(trained, dataset, index);
}

TEST_CASE("an editor with its switches turned: the gradient is that of finite differences") {
  const Dataset dataset = test::small_dataset(200);
  const std::string switches = GENERATE(", probe_features: false", ", edits: mask", ", edits: residual");
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  if (switches == ", edits: residual" && requirements != std::vector<std::string>{"equalised_odds"}) return;
  const int passes = GENERATE(1, 2);
  CAPTURE(requirements, switches, passes);
  TrainedEditor trained = smooth_editor(requirements, 1, passes, dataset, switches);
  check_gradient(trained, dataset, sample(trained, passes == 1 ? "" : "refine."));
}

TEST_CASE("the Chebyshev objective: its gradient by the editor's parameters is that of finite differences") {
  const Dataset dataset = test::small_dataset(200);
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int passes = GENERATE(1, 2);
  CAPTURE(requirements, passes);
  TrainedEditor trained = smooth_editor(requirements, 1, passes, dataset);
  check_gradient(trained, dataset, sample(trained, passes == 1 ? "" : "refine."), Scalarisation::chebyshev);
}

}  // namespace
}  // namespace amend
