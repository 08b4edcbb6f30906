#include "requirements/comparison/comparison_config.hpp"

#include <catch2/catch.hpp>

#include "engine/error.hpp"

namespace amend {
namespace {

ComparisonConfig parse(const std::string& text) { return parse_comparison_config(text, "folder/c.yaml", "results"); }

}  // namespace

TEST_CASE("a comparison is configured") {
  const ComparisonConfig config = parse(R"(
title: Two
population: nets
data: data/adult.yaml
networks: 5
requirements:
  pruning: {editors: {ours: a.safetensors, other: /b.safetensors}, strengths: 4, budgets: [0.5, 0.1], baselines: [obd_fold]}
  equalised_odds: {editors: {ours: c.safetensors}}
fine_tuning: {epochs: [2], rows: 32, learning_rates: [0.01], tuning_networks: 3}
retraining: {epochs: 4}
polish: [7, 9]
canonical: {candidates: 11}
shifts:
  - {name: one, feature: f, levels: [a, b]}
joint:
  combined: all.safetensors
  sequence: {pruning: a.safetensors, equalised_odds: c.safetensors}
  strengths: [{pruning: 0.5}, {equalised_odds: 0.2, pruning: 0.1}]
)");
  CHECK(config.title == "Two");
  CHECK(config.population == "results/nets");
  CHECK(config.data == "folder/data/adult.yaml");
  CHECK(config.networks == 5);
  REQUIRE(config.tables.size() == 2);
  const ComparisonTableConfig& pruning = config.tables[0];
  CHECK(pruning.requirement == "pruning");
  REQUIRE(pruning.editors.size() == 2);
  CHECK(pruning.editors[0].title == "ours");
  CHECK(pruning.editors[0].file == "results/a.safetensors");
  CHECK(pruning.editors[1].file == "/b.safetensors");
  CHECK(pruning.strengths == 4);
  CHECK(pruning.budgets == std::vector<double>{0.5, 0.1});
  CHECK(pruning.baselines == std::vector<std::string>{"obd_fold"});
  CHECK(config.tables[1].baselines.empty());
  CHECK(config.fine_tuning_epochs == std::vector<double>{2.0});
  CHECK(config.fine_tuning_rows == 32);
  CHECK(config.learning_rates == std::vector<double>{0.01});
  CHECK(config.tuning_networks == 3);
  CHECK(config.retraining_epochs == 4.0);
  CHECK(config.polish == std::vector<std::int64_t>{7, 9});
  CHECK(config.canonical_candidates == 11);
  REQUIRE(config.shifts.size() == 1);
  CHECK(config.shifts[0].levels == std::vector<std::string>{"a", "b"});
  CHECK(config.joint.combined.file == "results/all.safetensors");
  REQUIRE(config.joint.sequence.size() == 2);
  CHECK(config.joint.sequence[1].title == "equalised_odds");
  CHECK(config.joint.sequence[1].file == "results/c.safetensors");
  CHECK(config.joint.strengths == std::vector<std::vector<double>>{{0.5, 0.0}, {0.1, 0.2}});
}

TEST_CASE("a bad comparison names file, key and what was expected") {
  const auto with = [](const std::string& requirements) {
    return "population: nets\nrequirements: {" + requirements + "}\n";
  };
  CHECK_THROWS_WITH(parse("requirements: {}\n"), Catch::Contains("folder/c.yaml: population"));
  CHECK_THROWS_WITH(parse(with("")), Catch::Contains("folder/c.yaml: requirements: expected at least one"));
  CHECK_THROWS_WITH(parse(with("prunning: {editors: {a: b}}")), Catch::Contains("did you mean `pruning`?"));
  CHECK_THROWS_WITH(parse(with("pruning: {}")), Catch::Contains("requirements.pruning.editors: expected at least one"));
  CHECK_THROWS_WITH(parse(with("pruning: {editors: {a: b}, baselines: [obd]}")),
                    Catch::Contains("unknown baseline `obd`"));
  CHECK_THROWS_WITH(parse(with("pruning: {editors: {a: b}, budgets: [2]}")), Catch::Contains("from 0 to 1"));
  CHECK_THROWS_WITH(parse(with("pruning: {editors: {a: b}}") + "shifts: [{name: x, feature: y, levels: []}]\n"),
                    Catch::Contains("at least one level"));
  const std::string joint = "joint: {combined: a, sequence: {pruning: b, neurons: c}, strengths: ";
  CHECK_NOTHROW(parse(with("") + joint + "[{neurons: 1}]}\n"));
  CHECK_THROWS_WITH(parse(with("") + joint + "[{sex: 1}]}\n"), Catch::Contains("expected a requirement of `sequence`"));
  CHECK_THROWS_WITH(parse(with("") + joint + "[]}\n"), Catch::Contains("joint.strengths"));
  CHECK_THROWS_WITH(parse(with("") + "joint: {combined: a, sequence: {pruning: b}}\n"),
                    Catch::Contains("at least two requirements"));
  CHECK_THROWS_WITH(parse(with("pruning: {editors: {a: b}}") + "polish: [0]\n"), Catch::Contains("polish"));
  CHECK_THROWS_WITH(parse(with("pruning: {editors: {a: b}}") + "fine_tunning: {}\n"), Catch::Contains("fine_tuning"));
}

}  // namespace amend
