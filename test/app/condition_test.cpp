#include "app/condition.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>

#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;

namespace {

TrainedEditor two_requirements() {
  TrainedEditor editor;
  editor.config.shape.requirements = {"pruning", "equalised_odds"};
  editor.config.lambda = {{0.002, 0.2}, {0.01, 1.0}};
  return editor;
}

std::string mistake(const std::vector<std::string>& strengths, const std::vector<std::string>& lambdas = {}) {
  return input_error([&] { parse_condition(two_requirements(), strengths, lambdas); });
}

}  // namespace

TEST_CASE("strengths run through the trained range on a logarithmic scale", "[cli]") {
  const auto condition = parse_condition(two_requirements(), {"equalised_odds=0.5", "pruning=1"}, {});
  CHECK(condition.lambda[0] == Approx(0.2));
  CHECK(condition.lambda[1] == Approx(0.1));
  CHECK(condition.warnings.empty());
  CHECK(condition.repeated(2) ==
        std::vector<double>{condition.lambda[0], condition.lambda[1], condition.lambda[0], condition.lambda[1]});
  CHECK(condition.strengths().dump() == R"({"pruning":1.0,"equalised_odds":0.5})");

  const auto off = parse_condition(two_requirements(), {"pruning=0.5", "equalised_odds=0"}, {});
  CHECK(off.lambda[1] == 0.0);
  CHECK(off.lambdas().size() == 1);
  CHECK_THAT(off.text(), Contains("equalised_odds off"));
}

TEST_CASE("raw weights may leave the trained range with a warning", "[cli]") {
  const auto inside = parse_condition(two_requirements(), {"equalised_odds=1"}, {"pruning=0.02"});
  CHECK(inside.lambda == std::vector<double>{0.02, 1.0});
  CHECK(inside.strength[0] == Approx(0.5));
  CHECK(inside.warnings.empty());
  const auto outside = parse_condition(two_requirements(), {}, {"pruning=0.5"});
  REQUIRE(outside.warnings.size() == 1);
  CHECK_THAT(outside.warnings.front(), Contains("outside the range") && Contains("0.002 .. 0.2"));
  CHECK(parse_condition(two_requirements(), {"pruning=0"}, {}).warnings.size() == 1);
}

TEST_CASE("a strength that is recorded is finite, however extreme the weight", "[cli]") {
  TrainedEditor editor = two_requirements();
  for (const LambdaRange range : {LambdaRange{0.002, 0.2}, LambdaRange{1e-200, 1e200}, LambdaRange{0.1, 0.1}}) {
    editor.config.lambda[0] = range;
    for (const char* lambda : {"1e-320", "1e-200", "0.1", "1e3", "1e308"}) {
      CAPTURE(range.low, lambda);
      const auto condition = parse_condition(editor, {}, {std::string("pruning=") + lambda});
      CHECK(std::isfinite(condition.strength[0]));
      CHECK(condition.lambda[0] == std::strtod(lambda, nullptr));
    }
  }
}

TEST_CASE("a malformed condition is a mistake", "[cli]") {
  CHECK_THAT(mistake({}), Contains("this editor knows: pruning, equalised_odds"));
  CHECK_THAT(mistake({"prunning=0.5"}), Contains("did you mean `pruning`?") && Contains("pruning, equalised_odds"));
  CHECK_THAT(mistake({"pruning"}), Contains("name=value"));
  CHECK_THAT(mistake({"pruning=1.5"}), Contains("from 0 (off) to 1"));
  CHECK_THAT(mistake({"pruning=-0.1"}), Contains("from 0 (off) to 1"));
  CHECK_THAT(mistake({"pruning=nan"}), Contains("from 0 (off) to 1"));
  CHECK_THAT(mistake({"pruning=0.5x"}), Contains("0.5x") && !Contains("commas"));
  CHECK_THAT(mistake({"pruning=0.5 equalised_odds=1"}), Contains("separate requirements by commas"));
  CHECK_THAT(mistake({"pruning=0.5", "pruning=0.6"}), Contains("given twice"));
  CHECK_THAT(mistake({"pruning=0.5"}, {"pruning=0.02"}), Contains("given twice"));
  CHECK_THAT(mistake({}, {"pruning=-1"}), Contains("at least 0"));
  CHECK_THAT(mistake({}, {"pruning=inf"}), Contains("finite"));
}

TEST_CASE("a budget takes the place of a strength", "[cli]") {
  const Dataset dataset = small_dataset();
  TrainedEditor editor =
      small_editor({.requirements = {"pruning", "data_minimisation", "equalised_odds"}}, dataset, DType::float32);
  const auto parse = [&](const std::vector<std::string>& strengths, const std::vector<std::string>& budgets) {
    return parse_condition(editor, strengths, {}, budgets);
  };
  const auto budget_mistake = [&](const std::vector<std::string>& strengths, const std::vector<std::string>& budgets) {
    return input_error([&] { parse(strengths, budgets); });
  };
  CHECK_THAT(budget_mistake({}, {"pruning=0.1"}), Contains("--budget: `pruning`") && Contains("train it anew"));
  editor.kept = {{{0.9, 0.05}}, {{5.0, 1.0}}, {}};
  const auto condition = parse({"equalised_odds=0.5"}, {"pruning=0.1", "data_minimisation=3"});
  CHECK(condition.budget == std::vector<double>{0.1, 3.0, kNoBudget});
  CHECK(condition.warnings.empty());
  CHECK(condition.repeated_budget(2).size() == 6);
  CHECK(condition.budgets().dump() == R"({"pruning":0.1,"data_minimisation":3.0})");
  CHECK(condition.lambdas().size() == 1);
  CHECK_THAT(condition.text(), Contains("pruning at most 0.1, data_minimisation at most 3, equalised_odds 0.5"));
  CHECK(parse({}, {"data_minimisation=0"}).budget[1] == 0.0);
  REQUIRE(parse({}, {"pruning=0.02"}).warnings.size() == 1);
  CHECK_THAT(parse({}, {"pruning=0.02"}).warnings.front(), Contains("keep 0.05 for `pruning` on average"));

  CHECK_THAT(budget_mistake({}, {"equalised_odds=0.1"}), Contains("has no budget"));
  CHECK_THAT(budget_mistake({}, {"pruning=1.5"}), Contains("a share from 0 to 1") && Contains("1.5"));
  CHECK_THAT(budget_mistake({}, {"data_minimisation=2.5"}), Contains("a whole number of features"));
  CHECK_THAT(budget_mistake({}, {"data_minimisation=-1"}), Contains("at least 0"));
  CHECK_THAT(budget_mistake({}, {"data_minimisation=inf"}), Contains("a whole number of features"));
  CHECK_THAT(budget_mistake({"pruning=0.5"}, {"pruning=0.1"}), Contains("given twice"));
  CHECK_THAT(budget_mistake({}, {"features=3"}), Contains("did you mean"));
}
