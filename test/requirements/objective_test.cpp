#include <catch2/catch.hpp>
#include <cmath>

#include "requirements/objective/fairness.hpp"
#include "requirements/objective/sparsity.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

/// Rows of two groups or three, `cell_rows` of each cell after two random rows that must not matter.
struct Scene {
  int groups;
  std::int64_t cell_rows;
  Tensor cell, parity_mix, opportunity_mix;
  RowBatch rows;

  Scene(int group_count, std::int64_t per_cell, const std::vector<double>& positive_share)
      : groups(group_count), cell_rows(per_cell) {
    const int cells = 2 * groups;
    std::vector<double> id = {-1, -1}, parity(static_cast<std::size_t>(groups * cells)), opportunity = parity;
    for (int c = 0; c < cells; ++c) id.insert(id.end(), static_cast<std::size_t>(cell_rows), c);
    for (int g = 0; g < groups; ++g) {
      const auto row = static_cast<std::size_t>(g * cells + g), other = row + static_cast<std::size_t>(groups);
      parity[row] = 1.0 - positive_share[static_cast<std::size_t>(g)];
      parity[other] = positive_share[static_cast<std::size_t>(g)];
      opportunity[other] = 1.0;
    }
    cell = test::make_tensor({static_cast<std::int64_t>(id.size())}, DType::int32, id);
    parity_mix = test::make_tensor({groups, cells}, DType::float64, parity);
    opportunity_mix = test::make_tensor({groups, cells}, DType::float64, opportunity);
    rows.random_rows = 2;
    rows.cell = cell;
    rows.groups = groups;
    rows.parity_mix = parity_mix;
    rows.opportunity_mix = opportunity_mix;
  }
  std::int64_t count() const { return cell.count(); }
};

/// Logits of which every row of a cell has the soft rate of that cell, at temperature .5.
Tensor logits_of(const Scene& scene, const std::vector<std::vector<double>>& rates) {
  std::vector<double> z;
  for (const auto& network : rates)
    for (std::int64_t r = 0; r < scene.count(); ++r) {
      const std::int32_t c = scene.cell.as<std::int32_t>()[r];
      const double p = c < 0 ? 0.9 : network[static_cast<std::size_t>(c)];
      z.push_back(1.0);
      z.push_back(1.0 + 0.5 * std::log(p / (1.0 - p)));
    }
  return test::make_tensor({static_cast<std::int64_t>(rates.size()), scene.count(), 2}, DType::float64, z);
}

/// One row per network.
kernels::Segments rows_of_networks(std::int64_t networks) {
  static const std::int64_t offset[] = {0, 1, 2, 3};
  return {offset, static_cast<std::int32_t>(networks)};
}

std::vector<double> soft(const Requirement& requirement, const Scene& scene, const Tensor& logits) {
  Arena arena;
  Tape tape(arena, Stream{});
  const SoftInputs inputs{
      .logits = tape.constant(logits), .rows = &scene.rows, .networks = rows_of_networks(logits.view().extent(0))};
  return test::values(requirement.soft(tape, inputs).value());
}

double gap(double d) { return std::sqrt(d * d + 0.02 * 0.02) - 0.02; }

TEST_CASE("soft fairness agrees with a case worked out by hand") {
  // Label 0: rates .2 and .5; label 1: .6 and .7. Half of group 0 has label 1, a fifth of group 1.
  const Scene scene(2, 3, {0.5, 0.2});
  const Tensor logits = logits_of(scene, {{0.2, 0.5, 0.6, 0.7}, {0.4, 0.4, 0.8, 0.8}});
  const auto odds = soft(EqualisedOdds(), scene, logits), opportunity = soft(EqualOpportunity(), scene, logits),
             parity = soft(DemographicParity(), scene, logits);
  REQUIRE(odds.size() == 2);
  CHECK(odds[0] == Approx(gap(0.3) + gap(0.1)).epsilon(1e-12));
  CHECK(opportunity[0] == Approx(gap(0.1)).epsilon(1e-12));
  CHECK(parity[0] == Approx(gap((0.5 * 0.2 + 0.5 * 0.6) - (0.8 * 0.5 + 0.2 * 0.7))).epsilon(1e-12));
  CHECK(odds[1] == Approx(0.0).margin(1e-15));
  CHECK(opportunity[1] == Approx(0.0).margin(1e-15));
  // Equal rates per label, but not equally many of each label.
  CHECK(parity[1] == Approx(gap(0.6 - 0.48)).epsilon(1e-12));
}

TEST_CASE("soft fairness of three groups is the mean over pairs") {
  const Scene scene(3, 2, {0.5, 0.5, 0.25});
  const Tensor logits = logits_of(scene, {{0.1, 0.2, 0.4, 0.5, 0.9, 0.6}});
  CHECK(soft(EqualisedOdds(), scene, logits)[0] ==
        Approx((gap(0.1) + gap(0.3) + gap(0.2)) / 3 + (gap(0.4) + gap(0.1) + gap(0.3)) / 3).epsilon(1e-12));
  CHECK(soft(EqualOpportunity(), scene, logits)[0] == Approx((gap(0.4) + gap(0.1) + gap(0.3)) / 3).epsilon(1e-12));
  const double a = 0.3, b = 0.55, c = 0.75 * 0.4 + 0.25 * 0.6;
  CHECK(soft(DemographicParity(), scene, logits)[0] ==
        Approx((gap(a - b) + gap(a - c) + gap(b - c)) / 3).epsilon(1e-12));
}

TEST_CASE("soft fairness has the gradients of finite differences and knows no neighbours") {
  const int groups = GENERATE(2, 3);
  const Scene scene(groups, 2, {0.5, 0.2, 0.7});
  const Tensor logits = test::random_tensor({3, scene.count(), 2}, DType::float64, 4);
  for (const std::string name : {"equalised_odds", "equal_opportunity", "demographic_parity"}) {
    CAPTURE(groups, name);
    const auto requirement = make_requirements({name}, "")[0];
    CHECK(requirement->reads_groups());
    const auto check = test::gradcheck(
        {logits},
        [&](Tape& tape, const std::vector<Variable>& in) {
          return requirement->soft(tape, {.logits = in[0], .rows = &scene.rows, .networks = rows_of_networks(3)});
        },
        {.step = 1e-6});
    INFO(check.message);
    CHECK(check.ok);
    const auto all = soft(*requirement, scene, logits);
    for (std::int64_t n = 0; n < 3; ++n)
      CHECK(soft(*requirement, scene, test::convert(slice_rows(logits, n, 1), DType::float64))[0] ==
            all[static_cast<std::size_t>(n)]);
  }
}

TEST_CASE("sparsity is the share of open gates of its kind") {
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor shares[] = {test::make_tensor({2}, DType::float64, {0.1, 0.2}),
                           test::make_tensor({2}, DType::float64, {0.3, 0.4}),
                           test::make_tensor({2}, DType::float64, {0.5, 0.6})};
  const SoftInputs inputs{.weight_share = tape.constant(shares[0]),
                          .neuron_share = tape.constant(shares[1]),
                          .feature_share = tape.constant(shares[2])};
  const char* names[] = {"pruning", "neurons", "data_minimisation"};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto requirement = make_requirements({names[i]}, "")[0];
    CHECK_FALSE(requirement->reads_groups());
    CHECK(test::values(requirement->soft(tape, inputs).value()) == test::values(shares[i]));
    CHECK(std::vector<bool>{requirement->gates().weights, requirement->gates().neurons,
                            requirement->gates().features} == std::vector<bool>{i == 0, i == 1, i == 2});
    CHECK_THROWS_WITH(requirement->soft(tape, {}), Catch::Contains(names[i]) && Catch::Contains("no such gates"));
  }
  CHECK_THROWS_WITH(EqualisedOdds().soft(tape, {}), Catch::Contains("at least two groups"));
}

TEST_CASE("requirements go by their names") {
  const auto names = requirement_names();
  CHECK(names.size() == 6);
  const Requirements all = make_requirements(names, "");
  REQUIRE(all.size() == names.size());
  for (std::size_t r = 0; r < names.size(); ++r) {
    CHECK(all[r]->name() == names[r]);
    CHECK(all[r]->default_lambda_low() > 0.0);
    CHECK(all[r]->default_lambda_high() > all[r]->default_lambda_low());
  }
  CHECK(test::input_error([] {
          make_requirements({"pruning", "equalized_odds"}, "editor.yaml: requirements");
        }) == "editor.yaml: requirements: unknown requirement `equalized_odds`; did you mean `equalised_odds`?");
}

}  // namespace
}  // namespace amend
