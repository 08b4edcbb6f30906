#include "metanet/train/budgeted_edit.hpp"

#include <catch2/catch.hpp>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/random_networks.hpp"

namespace amend {
namespace {

bool same_bits(const SubjectNetwork& a, const SubjectNetwork& b) {
  return a.weights == b.weights && a.biases == b.biases;
}

/// An editor whose curves are made up: what it keeps falls evenly from everything.
TrainedEditor editor_with_curves(const Dataset& dataset, const std::vector<std::string>& requirements) {
  TrainedEditor trained = test::small_editor({.requirements = requirements, .passes = 3}, dataset, DType::float32);
  for (const std::string& name : requirements) {
    KeptCurve curve;
    const bool features = name == "data_minimisation";
    if (features || name == "pruning" || name == "neurons")
      curve.kept = features ? std::vector<double>{5.0, 3.0, 1.0} : std::vector<double>{1.0, 0.5, 0.1};
    trained.kept.push_back(curve);
  }
  return trained;
}

std::int64_t nonzero(const SubjectNetwork& network) {
  return std::count_if(network.weights.begin(), network.weights.end(), [](float w) { return w != 0.0f; });
}

TEST_CASE("the strength for a budget is read off the curve") {
  const KeptCurve curve{{0.8, 0.4, 0.2, 0.0}};
  CHECK(curve.strength_for(0.9) == 0.0);
  CHECK(curve.strength_for(0.8) == 0.0);
  CHECK(curve.strength_for(0.4) == Approx(1.0 / 3));
  CHECK(curve.strength_for(0.2 * std::sqrt(2.0)) == Approx(0.5));  // halfway in the logarithm
  CHECK(curve.strength_for(0.0) == Approx(1.0));
  CHECK(KeptCurve{{0.8, 0.4}}.strength_for(0.1) == 1.0);
  CHECK(KeptCurve{{0.5, 0.5, 0.6, 0.3}}.strength_for(0.5) == 0.0);  // the least strength
  CHECK_FALSE(KeptCurve{}.known());
}

TEST_CASE("an edit keeps what it is told, of weights, neurons and features") {
  const Dataset dataset = test::small_dataset();
  const auto networks = test::mixed_networks(6);
  const auto pointers = pointers_to(networks);
  SECTION("weights") {
    TrainedEditor trained = editor_with_curves(dataset, {"pruning"});
    BatchEditor editor(trained, dataset);
    for (const double share : {0.5, 0.1, 0.0}) {
      const std::vector<double> lambda(6, 0.0), budget(6, share);
      const auto edits = edit_to_budget(editor, trained, pointers, lambda, budget);
      for (std::size_t n = 0; n < 6; ++n)
        CHECK(nonzero(edits[n].network) ==
              static_cast<std::int64_t>(share * static_cast<double>(networks[n].weights.size()) + 1e-9));
    }
  }
  SECTION("features") {
    TrainedEditor trained = editor_with_curves(dataset, {"data_minimisation"});
    BatchEditor editor(trained, dataset);
    auto fewer = networks;  // does not read its first feature: it does not count
    for (std::size_t i = 0; i < static_cast<std::size_t>(fewer[1].widths[1]); ++i)
      fewer[1].weights[i * static_cast<std::size_t>(fewer[1].widths[0])] = 0.0f;
    for (const int count : {5, 3, 1, 0}) {
      const std::vector<double> lambda(6, 0.0), budget(6, count);
      const auto edits = edit_to_budget(editor, trained, pointers_to(fewer), lambda, budget);
      for (std::size_t n = 0; n < 6; ++n)
        CHECK(edits[n].features.size() == static_cast<std::size_t>(std::min(count, n == 1 ? 4 : 5)));
    }
  }
  SECTION("neurons") {
    TrainedEditor trained = editor_with_curves(dataset, {"neurons"});
    BatchEditor editor(trained, dataset);
    const std::vector<double> lambda(6, 0.0), budget(6, 0.5);
    const auto edits = edit_to_budget(editor, trained, pointers, lambda, budget);
    for (std::size_t n = 0; n < 6; ++n) {
      int hidden = 0;
      for (std::size_t layer = 1; layer + 1 < networks[n].widths.size(); ++layer) hidden += networks[n].widths[layer];
      if (hidden == 0) continue;
      // Neurons that nothing open reads, or that read none, are left over from layers closed beside them.
      CHECK(edits[n].neuron_share <= 0.5);
      CHECK(edits[n].neuron_share > 0.0);
      CHECK(edits[n].neuron_share * hidden == Approx(std::round(edits[n].neuron_share * hidden)));
    }
  }
}

TEST_CASE("a budget holds for its own network and requirement, alone and in any batch") {
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = editor_with_curves(dataset, {"pruning", "data_minimisation", "equalised_odds"});
  const auto networks = test::mixed_networks(5);
  const auto pointers = pointers_to(networks);
  const auto lambda = test::spread_lambda(trained, 5);
  BatchEditor editor(trained, dataset);
  std::vector<double> budget(15, kNoBudget);
  const auto plain = editor.edit(pointers, lambda),
             unlimited = edit_to_budget(editor, trained, pointers, lambda, budget);
  budget[3 * 1 + 1] = 2.0;  // features of the second
  budget[3 * 3 + 0] = 0.2;  // weights of the fourth
  const auto edits = edit_to_budget(editor, trained, pointers, lambda, budget);
  for (std::size_t n = 0; n < 5; ++n) {
    CHECK(same_bits(unlimited[n].network, plain[n].network));
    CHECK(same_bits(edits[n].network, plain[n].network) == (n != 1 && n != 3));
    const auto alone = edit_to_budget(editor, trained, {&pointers[n], 1}, std::span(lambda).subspan(3 * n, 3),
                                      std::span<const double>(budget).subspan(3 * n, 3));
    CHECK(same_bits(alone[0].network, edits[n].network));
  }
  CHECK(edits[1].features.size() == 2);
  CHECK(edits[3].nonzero_share <= 0.2);
  for (const int threads : {1, 3}) {
    const test::ThreadCount several(threads);
    const auto again = edit_to_budget(editor, trained, pointers, lambda, budget);
    for (std::size_t n = 0; n < 5; ++n) CHECK(same_bits(again[n].network, edits[n].network));
  }
}

TEST_CASE("the lambda of a budget is the editor's own business: what the caller gives is not read") {
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = editor_with_curves(dataset, {"pruning"});
  const auto networks = test::mixed_networks(2);
  BatchEditor editor(trained, dataset);
  const std::vector<double> budget(2, 0.3);
  const auto a = edit_to_budget(editor, trained, pointers_to(networks), std::vector<double>(2, 0.0), budget),
             b = edit_to_budget(editor, trained, pointers_to(networks), std::vector<double>(2, 7.0), budget);
  // The weight that is found: the curve's, corrected once by where the trial fell.
  const auto weight = [&](double strength) { return trained.config.lambda[0].at_strength(strength); };
  const double first = trained.kept[0].strength_for(0.3);
  for (std::size_t n = 0; n < 2; ++n) {
    CHECK(same_bits(a[n].network, b[n].network));
    const SubjectNetwork* const one = &networks[n];
    const double trial = weight(first);
    const double kept = editor.edit({&one, 1}, {&trial, 1})[0].nonzero_share;
    const double corrected = weight(std::clamp(first + first - trained.kept[0].strength_for(kept), 1e-9, 1.0));
    CHECK(same_bits(editor.edit({&one, 1}, {&corrected, 1}, {&budget[0], 1})[0].network, a[n].network));
  }
}

TEST_CASE("a budget for what has none is an error that says so") {
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = editor_with_curves(dataset, {"pruning", "equalised_odds"});
  const auto networks = test::mixed_networks(1);
  BatchEditor editor(trained, dataset);
  const std::vector<double> lambda(2, 0.01);
  const auto error = [&](const std::vector<double>& budget) {
    return test::input_error([&] { edit_to_budget(editor, trained, pointers_to(networks), lambda, budget); });
  };
  CHECK(error({0.5, kNoBudget}).empty());
  CHECK_THAT(error({kNoBudget, 0.1}), Catch::Contains("`equalised_odds` has no budget"));
  trained.kept.clear();
  CHECK_THAT(error({0.5, kNoBudget}), Catch::Contains("train it anew"));
  CHECK_THROWS_WITH(editor.edit(pointers_to(networks), lambda, std::vector<double>(1, 0.5)),
                    Catch::Contains("expected a budget for each of 2 weights, got 1"));
}

TEST_CASE("curves are means of what edits keep at each strength, the other requirements off") {
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = test::small_editor(
      {.requirements = {"pruning", "data_minimisation", "equalised_odds"}, .passes = 2}, dataset, DType::float32);
  const auto networks = test::mixed_networks(3);
  const std::vector<KeptCurve> curves = measure_kept(trained, dataset, pointers_to(networks));
  REQUIRE(curves.size() == 3);
  CHECK(curves[0].kept.size() == kKeptStrengths);
  CHECK(curves[1].kept.size() == kKeptStrengths);
  CHECK_FALSE(curves[2].known());
  std::vector<double> lambda;
  for (int n = 0; n < 3; ++n) lambda.insert(lambda.end(), {trained.config.lambda[0].at_strength(0.25), 0.0, 0.0});
  double mean = 0.0;
  for (const EditResult& edit : BatchEditor(trained, dataset).edit(pointers_to(networks), lambda))
    mean += edit.nonzero_share / 3;
  CHECK(curves[0].kept[(kKeptStrengths - 1) / 4] == Approx(mean));
  lambda.clear();
  for (int n = 0; n < 3; ++n) lambda.insert(lambda.end(), {0.0, trained.config.lambda[1].high, 0.0});
  mean = 0.0;
  for (const EditResult& edit : BatchEditor(trained, dataset).edit(pointers_to(networks), lambda))
    mean += static_cast<double>(edit.features.size()) / 3;
  CHECK(curves[1].kept.back() == Approx(mean));
}

}  // namespace
}  // namespace amend
