// `amend compare` as a user runs it, on tiny networks.

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "metanet/data/population.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Json = nlohmann::json;

namespace {

constexpr char kPopulation[] = R"(dataset: data.yaml
networks: 15
split: {train: 0.4, validation: 0.2, test: 0.4}
widths: [8]
epochs: [4, 6]
min_steps: 60
)";
constexpr char kEditor[] = R"(requirements: {pruning: {}, data_minimisation: {}, equalised_odds: {}}
editor: {node_width: 8, edge_width: 8, messages: 0, passes: 2, refine_width: 4}
training: {steps: 30, batch: 4, rows: 64, cell_rows: 16, probe_rows: 64, probe_cell_rows: 16, edit_probe_rows: 100,
           edit_probe_cell_rows: 30, warmup: 5, validations: 3, validation_rows: 100}
)";
constexpr char kCompare[] = R"(title: Tiny <networks>
population: pop
networks: 4
requirements:
  pruning: {editors: {editor: editor.safetensors, same editor: editor.safetensors}, probe_rows: [10], strengths: 3, budgets: [0.5, 0.1]}
  data_minimisation: {editors: {editor: editor.safetensors}, strengths: 3, budgets: [6, 2]}
  equalised_odds: {editors: {editor: editor.safetensors}, strengths: 3}
fine_tuning: {epochs: [0.2, 0.5], rows: 32, learning_rates: [0.000000001, 0.01], tuning_networks: 2}
retraining: {epochs: 0.5}
polish: [3]
canonical: {candidates: 5}
shifts:
  - {name: office workers, feature: sector, levels: [office]}
joint:
  combined: editor.safetensors
  sequence: {pruning: editor.safetensors, equalised_odds: editor.safetensors}
  strengths: [{pruning: 0.5, equalised_odds: 0.5}, {pruning: 0.9}]
)";

/// Everything but what depends on the clock.
Json without_times(Json json) {
  json.erase("hardware");
  json.erase("command");
  for (Json& row : json["joint"]) row.erase("seconds");
  for (Json& table : json["tables"])
    for (Json& method : table["methods"])
      for (Json& point : method["points"]) point.erase("seconds");
  return json;
}

const Json& method_of(const Json& table, const std::string& name) {
  for (const Json& method : table["methods"])
    if (method["name"] == name) return method;
  FAIL("no method " << name);
  return table;
}

}  // namespace

TEST_CASE("methods are compared on held-out networks", "[cli][slow]") {
  const TemporaryFolder folder;
  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  write_bytes(folder / "data.yaml", "name: tiny\nsynthetic: {rows: 3000, seed: 3}\n");
  write_bytes(folder / "population.yaml", kPopulation);
  write_bytes(folder / "editor.yaml", kEditor);
  write_bytes(folder / "compare.yaml", kCompare);
  REQUIRE(amend_command({"population", "train", path("population.yaml"), "--out", path("pop")}).code == kSuccess);
  REQUIRE(amend_command({"editor", "train", path("editor.yaml"), "--population", path("pop"), "--out",
                         path("editor.safetensors")})
              .code == kSuccess);
  const CommandRun run = amend_command({"compare", path("compare.yaml"), "--out", path("first"), "--threads", "1"});
  INFO(run.err);
  REQUIRE(run.code == kSuccess);
  CHECK_THAT(run.out, Contains("pruning on tiny: 4 networks held out") && Contains("OBD + fold"));
  const Json json = Json::parse(read_bytes(folder / "first.json"));
  REQUIRE(json["tables"].size() == 6);  // three requirements, each on all rows and on office workers
  CHECK_THAT(json["tables"][1]["networks"].get<std::string>(), Contains("office workers"));

  const Json& pruning = json["tables"][0];
  const Population population = load_population(path("pop"));
  std::set<std::string> held_out;
  for (const int n : networks_of(population, PopulationSplit::test))
    held_out.insert(population.networks[static_cast<std::size_t>(n)].name);
  for (const Json& name : pruning["network"]) CHECK(held_out.contains(name.get<std::string>()));
  for (const Json& table : json["tables"])
    for (const Json& method : table["methods"]) {
      CAPTURE(table["networks"], method["name"]);
      CHECK(method["points"].size() >= 2);
      CHECK(method["accuracy_volume"]["network"].size() == 4);
      CHECK(method["divergence_volume"].is_null() == (method["name"] == "randomised_thresholds"));
    }
  // Budgets are kept, an editor agrees with itself, and fine-tuning comes closer to the original.
  const Json &obd = method_of(pruning, "obd_fold"), &tuned = method_of(pruning, "obd_fold_0.5_epochs");
  for (std::size_t setting = 0; setting < 2; ++setting)
    for (std::size_t n = 0; n < 4; ++n) {
      CHECK(obd["points"][setting]["requirement"][n].get<double>() == Approx(setting == 0 ? 0.5 : 0.1).margin(0.01));
      CHECK(tuned["points"][setting]["requirement"][n] == obd["points"][setting]["requirement"][n]);
    }
  for (std::size_t n = 0; n < 4; ++n)
    CHECK(tuned["points"][1]["divergence"][n].get<double>() < obd["points"][1]["divergence"][n].get<double>());
  CHECK(tuned["tuned"] == "learning rate 0.01");  // the other one changes nothing
  CHECK(method_of(pruning, "editor_2")["divergence_volume"]["network"] ==
        method_of(pruning, "editor")["divergence_volume"]["network"]);
  CHECK(method_of(pruning, "editor_2")["divergence_volume"]["editor_wins"] == 0.0);
  CHECK(method_of(pruning, "editor_3")["title"] == "editor, probes of 10 rows");
  CHECK(method_of(pruning, "editor_3")["points"][1]["divergence"] !=
        method_of(pruning, "editor")["points"][1]["divergence"]);
  for (const Json& kept : method_of(json["tables"][2], "mean_ablation_fold")["points"][1]["requirement"])
    CHECK(kept.get<double>() <= 2.0);
  // An editor that is told keeps as much as the baselines, and what is polished starts there.
  const Json &told = method_of(pruning, "editor_budget"), &features = method_of(json["tables"][2], "editor_budget");
  REQUIRE(told["points"].size() == obd["points"].size());
  for (std::size_t setting = 0; setting < 2; ++setting)
    for (std::size_t n = 0; n < 4; ++n) {
      const double kept = told["points"][setting]["requirement"][n].get<double>();
      CHECK(kept <= (setting == 0 ? 0.5 : 0.1));
      CHECK(kept == Approx(obd["points"][setting]["requirement"][n].get<double>()).margin(0.01));
    }
  for (const Json& kept : features["points"][1]["requirement"]) CHECK(kept.get<double>() <= 2.0);
  const Json& canonical = method_of(pruning, "canonical")["points"][2]["requirement"];
  for (const Json& kept : canonical) CHECK(kept == canonical[0]);  // one network for all
  CHECK(pruning["specificity"].size() == 3);

  // Two orders of two requirements, one of one; with a single requirement the combined editor is the sequence.
  const Json& joint = json["joint"];
  REQUIRE(joint.size() == 5);
  CHECK(joint[0]["method"] == "combined editor");
  CHECK(joint[1]["method"] == "pruning, then equalised_odds");
  CHECK(joint[2]["method"] == "equalised_odds, then pruning");
  CHECK(joint[0]["lead"]["mean"] == 0.0);
  CHECK(joint[3]["setting"] == "pruning 0.9");
  for (const char* key : {"objective", "lead", "divergence", "nonzero_share", "gap"})
    CHECK(joint[3][key] == joint[4][key]);
  CHECK(joint[1]["divergence"] != joint[0]["divergence"]);
  CHECK_THAT(read_bytes(folder / "first.html"), Contains("Several requirements at once"));

  // The same on any number of threads, and the page again from the numbers.
  REQUIRE(amend_command({"compare", path("compare.yaml"), "--out", path("second"), "--threads", "3"}).code == kSuccess);
  CHECK(without_times(json) == without_times(Json::parse(read_bytes(folder / "second.json"))));
  REQUIRE(amend_command({"compare", "--from", path("first.json"), "--out", path("again")}).code == kSuccess);
  CHECK(read_bytes(folder / "again.html") == read_bytes(folder / "first.html"));
  CHECK(read_bytes(folder / "again.csv") == read_bytes(folder / "first.csv"));
  CHECK_FALSE(std::filesystem::exists(folder / "again.json"));

  const CommandRun exists = amend_command({"compare", path("compare.yaml"), "--out", path("first")});
  CHECK(exists.code == kUserError);
  CHECK_THAT(exists.err, Contains("exists already"));
  CHECK(amend_command({"compare", "--out", path("x")}).code == kUserError);
  CHECK_THAT(amend_command({"compare", "--from", path("compare.yaml"), "--out", path("x")}).err,
             Contains("compare.yaml"));

  // Polishing through the command line: the zeros of the edit, other weights.
  const auto edit = [&](const std::string& out, const std::string& steps) {
    return amend_command({"edit", path("pop"), "--editor", path("editor.safetensors"), "--condition",
                          "pruning=0.9,equalised_odds=0.5", "--split", "test", "--out", path(out), "--polish", steps,
                          "--json"});
  };
  REQUIRE(edit("plain", "0").code == kSuccess);
  const CommandRun polished = edit("polished", "5");
  REQUIRE(polished.code == kSuccess);
  CHECK(Json::parse(polished.out)["polish_steps"] == 5);
  const Population before = load_population(path("plain")), after = load_population(path("polished"));
  for (std::size_t n = 0; n < before.networks.size(); ++n) {
    CHECK(before.networks[n].weights != after.networks[n].weights);
    CHECK(after.attributes[n]["edit"]["polish_steps"] == 5);
    for (std::size_t e = 0; e < before.networks[n].weights.size(); ++e)
      CHECK((before.networks[n].weights[e] == 0.0f) == (after.networks[n].weights[e] == 0.0f));
  }
  CHECK(edit("bad", "-1").code == kUserError);

  // Told what to keep, in the report and in the record of every network.
  const CommandRun budgeted =
      amend_command({"edit", path("pop"), "--editor", path("editor.safetensors"), "--budget",
                     "pruning=0.2,data_minimisation=3", "--split", "test", "--out", path("told"), "--json"});
  INFO(budgeted.err);
  REQUIRE(budgeted.code == kSuccess);
  const Json report = Json::parse(budgeted.out);
  CHECK(report["budget"]["pruning"] == 0.2);
  CHECK(report["condition"].empty());
  for (const Json& network : report["networks"]) {
    CHECK(network["nonzero_share"].get<double>() <= 0.2);
    CHECK(network["features"].size() <= 3);
  }
  CHECK(load_population(path("told")).attributes[0]["edit"]["budget"]["data_minimisation"] == 3.0);
  // Probed on fewer rows: another edit, and on record.
  const auto probed = [&](const std::string& out, const std::string& rows) {
    return amend_command({"edit", path("pop"), "--editor", path("editor.safetensors"), "--condition",
                          "pruning=0.9,equalised_odds=0.5", "--split", "test", "--out", path(out), "--probe-rows",
                          rows});
  };
  REQUIRE(probed("few", "50").code == kSuccess);
  REQUIRE(probed("as trained", "100").code == kSuccess);
  CHECK(load_population(path("few")).networks[0].weights != before.networks[0].weights);
  CHECK(load_population(path("as trained")).networks[0].weights == before.networks[0].weights);
  CHECK(load_population(path("few")).attributes[0]["edit"]["probe_rows"] == 50);
  CHECK(probed("none", "0").code == kUserError);
  CHECK(amend_command({"edit", path("pop"), "--editor", path("editor.safetensors"), "--budget", "equalised_odds=0.1",
                       "--out", path("never")})
            .code == kUserError);
}
