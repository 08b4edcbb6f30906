#include "metanet/train/fine_tuning.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/fairness.hpp"
#include "requirements/metric/utility.hpp"
#include "requirements/registry.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/random_networks.hpp"

namespace amend {
namespace {

using Networks = std::vector<SubjectNetwork>;

bool same_bits(const SubjectNetwork& a, const SubjectNetwork& b) {
  return a.weights == b.weights && a.biases == b.biases;
}

/// Every third weight zero, the others a little off.
Networks disturbed(Networks networks) {
  for (SubjectNetwork& network : networks)
    for (std::size_t e = 0; e < network.weights.size(); ++e)
      network.weights[e] = e % 3 == 0 ? 0.0f : network.weights[e] * (e % 2 == 0 ? 1.2f : 0.8f);
  return networks;
}

double mean_divergence(const SubjectNetwork& original, const SubjectNetwork& other, const Dataset& dataset,
                       const Rows& rows) {
  const SubjectNetwork* const pair[] = {&original, &other};
  const auto logits = predict_logits(pair, rows.input.data(), rows.count, dataset.inputs);
  const std::size_t half = logits.size() / 2;
  const auto each = row_divergence({logits.data(), half}, {logits.data() + half, half}, dataset.classes);
  return std::accumulate(each.begin(), each.end(), 0.0) / static_cast<double>(each.size());
}

std::vector<std::int32_t> classes_of(const SubjectNetwork& network, const Dataset& dataset, const Rows& rows) {
  const SubjectNetwork* const one = &network;
  return predicted_classes(predict_logits({&one, 1}, rows.input.data(), rows.count, dataset.inputs), dataset.classes);
}

double odds_gap(const SubjectNetwork& network, const Dataset& dataset, const Rows& rows) {
  const auto metrics = fairness_metrics(classes_of(network, dataset, rows), rows.label,
                                        group_ids(dataset, rows, {"group"}), group_names(dataset, {"group"}), 2, 1);
  return metrics.equalised_odds_sum.value.value();
}

}  // namespace

TEST_CASE("fine-tuning brings pruned networks back towards their originals and keeps their zeros") {
  const Dataset dataset = test::small_dataset();
  const Networks original = test::mixed_networks(5), pruned = disturbed(original);
  const auto tuned = fine_tune(pointers_to(pruned), pointers_to(original), dataset, dataset.editor_train,
                               {.steps = 300, .rows = 64, .learning_rate = 0.02});
  REQUIRE(tuned.size() == 5);
  for (std::size_t n = 0; n < tuned.size(); ++n) {
    CAPTURE(n);
    CHECK(tuned[n].name == original[n].name);
    CHECK(tuned[n].widths == original[n].widths);
    std::size_t moved = 0;
    for (std::size_t e = 0; e < tuned[n].weights.size(); ++e) {
      if (pruned[n].weights[e] == 0.0f) CHECK(tuned[n].weights[e] == 0.0f);
      moved += tuned[n].weights[e] != pruned[n].weights[e];
    }
    CHECK(moved > tuned[n].weights.size() / 2);
    const double before = mean_divergence(original[n], pruned[n], dataset, dataset.editor_train);
    CHECK(mean_divergence(original[n], tuned[n], dataset, dataset.editor_train) < 0.3 * before);
  }
}

TEST_CASE("a fine-tuned network has the same bits alone, in company and on any number of threads") {
  const Dataset dataset = test::small_dataset();
  const Networks original = test::mixed_networks(19), pruned = disturbed(original);
  const auto pointers = pointers_to(pruned), originals = pointers_to(original);
  const FineTuningTarget target = GENERATE(FineTuningTarget::original, FineTuningTarget::labels);
  const FineTuning tuning{.target = target,
                          .steps = 6,
                          .rows = 32,
                          .weight_decay = 0.01,
                          .requirements = make_requirements({"equalised_odds"}, "test"),
                          .sensitive = {"group"},
                          .cell_rows = 16};
  std::vector<double> lambda;
  for (std::size_t n = 0; n < pointers.size(); ++n) lambda.push_back(0.1 * static_cast<double>(n));
  const auto tune = [&](std::size_t first, std::size_t count) {
    return fine_tune(std::span(pointers).subspan(first, count), std::span(originals).subspan(first, count), dataset,
                     dataset.editor_train, tuning, std::span(lambda).subspan(first, count));
  };
  Networks all;
  {
    const test::ThreadCount one(1);
    all = tune(0, pointers.size());
  }
  const test::ThreadCount three(3);
  const auto again = tune(0, pointers.size());
  for (std::size_t n = 0; n < all.size(); ++n) {
    CHECK(same_bits(all[n], again[n]));
    CHECK_FALSE(same_bits(all[n], pruned[n]));
    CHECK(same_bits(all[n], tune(n, 1)[0]));
  }
}

TEST_CASE("the first step goes down the slope of the target and of the requirement") {
  const Dataset dataset = test::small_dataset(40);
  const Networks networks = {test::random_network({7, 5, 2}, Activation::tanh, 3)};
  const auto pointers = pointers_to(networks);
  const double lambda[] = {2.0};
  FineTuning tuning{.target = FineTuningTarget::labels, .steps = 1, .rows = 4000, .learning_rate = 1e-4};
  SECTION("labels") {}
  SECTION("labels and equalised odds") {
    tuning.requirements = make_requirements({"equalised_odds"}, "test");
    tuning.sensitive = {"group"};
    tuning.cell_rows = 2000;
  }
  const auto tuned =
      fine_tune(pointers, {}, dataset, dataset.editor_train, tuning, std::span(lambda, tuning.requirements.size()));
  // The loss on all rows, with every cell as heavy as it is drawn; the 4,000 drawn rows come close to that.
  const Rows& rows = dataset.editor_train;
  const auto group = group_ids(dataset, rows, {"group"});
  const auto loss = [&](const SubjectNetwork& network) {
    const SubjectNetwork* const one = &network;
    const auto logits = predict_logits({&one, 1}, rows.input.data(), rows.count, dataset.inputs);
    double sum = 0.0, rate[4] = {}, count[4] = {};
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const auto at = static_cast<std::size_t>(r);
      const double margin = static_cast<double>(logits[2 * at + 1]) - static_cast<double>(logits[2 * at]);
      sum += std::log1p(std::exp(rows.label[at] == 1 ? -margin : margin));
      const std::size_t cell = static_cast<std::size_t>(rows.label[at] * 2 + group[at]);
      rate[cell] += 1.0 / (1.0 + std::exp(-margin / 0.5));
      count[cell] += 1.0;
    }
    double total = sum / static_cast<double>(rows.count);
    if (!tuning.requirements.empty())
      for (const std::size_t label : {0, 2}) {
        const double gap = rate[label] / count[label] - rate[label + 1] / count[label + 1];
        total += lambda[0] * (std::sqrt(gap * gap + 0.02 * 0.02) - 0.02);
      }
    return total;
  };
  int compared = 0;
  for (std::size_t e = 0; e < networks[0].weights.size(); ++e) {
    SubjectNetwork up = networks[0], down = networks[0];
    up.weights[e] += 0.01f;
    down.weights[e] -= 0.01f;
    const double slope = (loss(up) - loss(down)) / 0.02;
    if (std::abs(slope) < 0.03) continue;  // drawing rows could turn its sign
    ++compared;
    CAPTURE(e, slope);
    // The first step of Adam has the length of the learning rate.
    CHECK(tuned[0].weights[e] - networks[0].weights[e] == Approx(slope > 0.0 ? -1e-4 : 1e-4).epsilon(0.02));
  }
  CHECK(compared > 15);
}

TEST_CASE("fine-tuning with a requirement closes the gap between groups") {
  Dataset dataset = test::small_dataset(600);
  // Half of the second group's positives are denied.
  const auto group = group_ids(dataset, dataset.editor_train, {"group"});
  for (std::size_t r = 0; r < group.size(); r += 2)
    if (group[r] == 1) dataset.editor_train.label[r] = 0;
  Networks start;
  for (std::uint64_t seed = 0; seed < 3; ++seed)
    start.push_back(test::random_network({7, 8, 2}, Activation::relu, seed));
  const auto trained = fine_tune(pointers_to(start), {}, dataset, dataset.editor_train,
                                 {.target = FineTuningTarget::labels, .steps = 200, .rows = 64, .learning_rate = 0.01});
  const FineTuning fair{.steps = 200,
                        .rows = 64,
                        .learning_rate = 0.01,
                        .requirements = make_requirements({"equalised_odds"}, "test"),
                        .sensitive = {"group"},
                        .cell_rows = 32};
  const std::vector<double> lambda = {0.0, 0.5, 0.5};
  const auto pointers = pointers_to(trained);
  const auto tuned = fine_tune(pointers, pointers, dataset, dataset.editor_train, fair, lambda);
  CHECK(mean_divergence(trained[0], tuned[0], dataset, dataset.editor_train) < 1e-4);  // asked for nothing
  for (std::size_t n = 1; n < 3; ++n) {
    CAPTURE(n);
    const double before = odds_gap(trained[n], dataset, dataset.editor_train);
    CHECK(before > 0.15);
    CHECK(odds_gap(tuned[n], dataset, dataset.editor_train) < 0.6 * before);
  }
}

TEST_CASE("rows of weight 0 teach nothing") {
  const Dataset dataset = test::small_dataset();
  FineTuning tuning{.target = FineTuningTarget::labels, .steps = 120, .rows = 64, .learning_rate = 0.02};
  for (const std::int32_t label : dataset.editor_train.label) tuning.row_weight.push_back(label == 1 ? 2.0 : 0.0);
  const Networks start = {test::random_network({7, 6, 2}, Activation::relu, 5)};
  const auto tuned = fine_tune(pointers_to(start), {}, dataset, dataset.editor_train, tuning);
  const auto predicted = classes_of(tuned[0], dataset, dataset.editor_train);
  CHECK(std::count(predicted.begin(), predicted.end(), 1) == dataset.editor_train.count);
}

TEST_CASE("fine-tuning refuses what it cannot do") {
  const Dataset dataset = test::small_dataset(40);
  const Networks networks = test::mixed_networks(2);
  const auto pointers = pointers_to(networks);
  const auto tune = [&](const FineTuning& tuning, std::vector<double> lambda = {}) {
    return fine_tune(pointers, pointers, dataset, dataset.editor_train, tuning, lambda);
  };
  CHECK(same_bits(tune({.steps = 0})[1], networks[1]));
  CHECK_THROWS_WITH(tune({.steps = 1, .learning_rate = 0.0}), Catch::Contains("a learning rate > 0"));
  CHECK_THROWS_WITH(tune({.steps = 5, .learning_rate = 1e38}), Catch::Contains("no longer finite after 5 steps"));
  CHECK_THROWS_WITH(tune({.steps = 1, .row_weight = {1.0}}), Catch::Contains("expected 40 weights, got 1"));
  const Requirements odds = make_requirements({"equalised_odds"}, "test");
  CHECK_THROWS_WITH(tune({.steps = 1, .requirements = odds}, {1.0, 1.0}), Catch::Contains("sensitive attribute"));
  CHECK_THROWS_WITH(tune({.steps = 1, .requirements = odds, .sensitive = {"group"}}), Catch::Contains("2 x 1 lambdas"));
  CHECK_THROWS_WITH(tune({.steps = 1, .requirements = make_requirements({"pruning"}, "test")}, {1.0, 1.0}),
                    Catch::Contains("is about gates"));
  CHECK_THROWS_WITH(fine_tune(pointers, std::span(pointers).first(1), dataset, dataset.editor_train, {.steps = 1}),
                    Catch::Contains("an original for each of 2"));
  CHECK(steps_of(3, 12000, 128) == 281);
}

}  // namespace amend
