// The whole chain as a user runs it, on tiny networks: population, editor, edit, audit, info.

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "metanet/data/population.hpp"
#include "metanet/data/safetensors.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"
#include "test/support/pytorch_file.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Json = nlohmann::json;

namespace {

constexpr char kData[] = "name: tiny\nsynthetic: {rows: 3000, seed: 3}\n";
constexpr char kPopulation[] = R"(dataset: data.yaml
networks: 12
split: {train: 0.5, validation: 0.25, test: 0.25}
widths: [8, 6-4]
epochs: [4, 6]
min_steps: 60
)";
constexpr char kEditor[] = R"(requirements: {pruning: {}, equalised_odds: {}}
editor: {node_width: 8, edge_width: 8, messages: 0, passes: 2, refine_width: 4}
training: {steps: 30, batch: 4, rows: 64, cell_rows: 16, probe_rows: 64, probe_cell_rows: 16, edit_probe_rows: 100,
           edit_probe_cell_rows: 30, warmup: 5, validations: 3, validation_rows: 100}
)";

/// Configurations, a population and an editor, made once for all tests of the file.
struct Chain {
  TemporaryFolder folder;
  CommandRun population, editor;

  Chain() {
    write_bytes(folder / "data.yaml", kData);
    write_bytes(folder / "population.yaml", kPopulation);
    write_bytes(folder / "editor.yaml", kEditor);
    population = amend_command({"population", "train", path("population.yaml"), "--out", path("pop"), "--json"});
    editor = amend_command({"editor", "train", path("editor.yaml"), "--population", path("pop"), "--out",
                            path("editor.safetensors"), "--json"});
  }
  std::string path(const std::string& name) const { return folder / name; }

  static const Chain& get() {
    static const Chain chain;
    return chain;
  }
};

}  // namespace

TEST_CASE("a population and an editor are trained and described", "[cli][slow]") {
  const Chain& chain = Chain::get();
  INFO(chain.population.err << chain.editor.err);
  REQUIRE(chain.population.code == kSuccess);
  REQUIRE(chain.editor.code == kSuccess);
  CHECK(chain.population.err.empty());
  CHECK(Json::parse(chain.population.out)["networks"].size() == 12);
  CHECK(Json::parse(chain.editor.out)["requirements"].contains("equalised_odds"));
  CHECK_FALSE(std::filesystem::exists(chain.path("editor.safetensors.checkpoint")));

  const Json editor = Json::parse(amend_command({"info", chain.path("editor.safetensors"), "--json"}).out);
  CHECK(editor["kind"] == "editor");
  CHECK(editor["parameters"] > 100);
  CHECK(editor["dataset"]["name"] == "tiny");
  CHECK_THAT(amend_command({"info", chain.path("editor.safetensors")}).out,
             Contains("pruning") && Contains("groups: group"));
  const CommandRun info = amend_command({"info", chain.path("pop")});
  CHECK_THAT(info.out, Contains("population of 12 networks on tiny") && Contains("validation accuracy"));
}

TEST_CASE("outputs that exist are refused", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const std::string before = read_bytes(chain.path("editor.safetensors"));
  const auto refused = [](const CommandRun& run) {
    CHECK(run.code == kUserError);
    CHECK_THAT(run.err, Contains("exists already; --force"));
  };
  refused(amend_command({"population", "train", chain.path("population.yaml"), "--out", chain.path("pop")}));
  refused(amend_command({"editor", "train", chain.path("editor.yaml"), "--population", chain.path("pop"), "--out",
                         chain.path("editor.safetensors")}));
  CHECK(read_bytes(chain.path("editor.safetensors")) == before);
  std::filesystem::create_directory(chain.path("stranger"));
  write_bytes(chain.path("stranger/notes.txt"), "mine");
  const CommandRun folder =
      amend_command({"population", "train", chain.path("population.yaml"), "--out", chain.path("stranger"), "--force"});
  CHECK(folder.code == kUserError);
  CHECK_THAT(folder.err, Contains("only a population is ever replaced"));
}

TEST_CASE("a population is edited and audited", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const auto edit = [&](const std::string& condition, const std::string& out, const std::string& option = "--json") {
    return amend_command({"edit", chain.path("pop"), "--editor", chain.path("editor.safetensors"), "--condition",
                          condition, "--split", "test", "--out", chain.path(out), option});
  };
  const CommandRun run = edit("pruning=0.9,equalised_odds=0.5", "edited");
  INFO(run.err);
  REQUIRE(run.code == kSuccess);
  const Json json = Json::parse(run.out);
  CHECK(json["networks"].size() == 3);
  CHECK(json["condition"]["pruning"] == 0.9);
  for (const Json& network : json["networks"]) CHECK(network["nonzero_share"] < 1.0);

  const Population original = load_population(chain.path("pop")), edited = load_population(chain.path("edited"));
  REQUIRE(edited.networks.size() == 3);
  for (std::size_t n = 0; n < 3; ++n) {
    CHECK(edited.split[n] == PopulationSplit::test);
    CHECK(edited.attributes[n].contains("training"));
    const Json& record = edited.attributes[n]["edit"];
    CHECK(record["editor_sha256"].get<std::string>().size() == 64);
    CHECK(record["precision"] == "float32");
    CHECK(record["lambda"].contains("equalised_odds"));
  }

  const CommandRun again = edit("pruning=0.9", "edited");
  CHECK(again.code == kUserError);
  CHECK_THAT(again.err, Contains("exists already"));
  CHECK(edit("pruning=0.9", "edited", "--force").code == kSuccess);
  const CommandRun unknown = edit("fairness=0.5", "other");
  CHECK(unknown.code == kUserError);
  CHECK_THAT(unknown.err, Contains("pruning, equalised_odds"));
  CHECK_FALSE(std::filesystem::exists(chain.path("other")));
  CHECK(edit("pruning=0.9", "pop", "--force").code == kUserError);  // its own input

  const CommandRun audit = amend_command({"audit", chain.path("pop"), chain.path("edited"), "--json"});
  INFO(audit.err);
  CHECK(audit.code == kSuccess);
  CHECK_THAT(audit.err, Contains("9 of 12 networks were not edited"));
  CHECK(Json::parse(audit.out).is_object());
  const CommandRun failed = amend_command({"audit", chain.path("pop"), chain.path("edited"), "--max-nonzero-share",
                                           "0.0001", "--max-accuracy-drop", "100"});
  CHECK(failed.code == kLimitNotMet);
  CHECK_THAT(failed.out, Contains("NOT MET"));
  CHECK_THAT(failed.err, Contains("limit not met: --max-nonzero-share 0.0001 (share of weights)") &&
                             !Contains("--max-accuracy-drop"));
  CHECK(amend_command({"audit", chain.path("pop"), chain.path("edited"), "--sensitive", "gruop"}).code == kUserError);
  CHECK_THAT(amend_command({"info", chain.path("edited")}).out, Contains("edited by"));
}

TEST_CASE("a limit on the accuracy drop is given in points", "[cli][slow]") {
  const Chain& chain = Chain::get();
  Population damaged = load_population(chain.path("pop"));
  for (SubjectNetwork& network : damaged.networks) {  // every answer is turned round
    const int last = network.layers() - 1;
    for (auto w = network.weights.begin() + network.weight_offset(last); w != network.weights.end(); ++w) *w = -*w;
    for (auto b = network.biases.begin() + network.bias_offset(last); b != network.biases.end(); ++b) *b = -*b;
  }
  save_population(damaged, chain.path("damaged"));
  const auto audit = [&](const std::string& option, const std::string& value) {
    return amend_command({"audit", chain.path("pop"), chain.path("damaged"), option, value, "--json"});
  };
  double worst = 0.0;
  const Json report = Json::parse(audit("--seed", "1").out);
  for (const Json& network : report["networks"]) worst = std::max(worst, network["accuracy"]["drop"].get<double>());
  REQUIRE(worst > 0.01);
  // Half the worst drop, read as a share, would be met; half as much again, read as hundredths of a point, would not.
  const CommandRun halved = audit("--max-accuracy-drop", std::to_string(50.0 * worst));
  CHECK(halved.code == kLimitNotMet);
  const Json violations = Json::parse(halved.out)["violations"];
  REQUIRE_FALSE(violations.empty());
  for (const Json& violation : violations) {
    CHECK(violation["limit"] == "max_accuracy_drop");
    CHECK(violation["bound"].get<double>() == Approx(0.5 * worst).epsilon(1e-4));
    CHECK(violation["value"].get<double>() > 0.5 * worst);
  }
  CHECK(audit("--max-accuracy-drop", std::to_string(150.0 * worst)).code == kSuccess);
}

TEST_CASE("a user's own model is edited and audited", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const Population population = load_population(chain.path("pop"));
  const std::string model = chain.path("model.safetensors"), output = chain.path("smaller.safetensors");
  write_pytorch_file(model, population.networks.front());
  const std::string editor = chain.path("editor.safetensors");

  const CommandRun no_activation =
      amend_command({"edit", model, "--editor", editor, "--condition", "pruning=0.9", "--out", output});
  CHECK(no_activation.code == kUserError);
  CHECK_THAT(no_activation.err, Contains("activation"));
  const CommandRun run = amend_command(
      {"edit", model, "--editor", editor, "--condition", "pruning=0.9", "--activation", "relu", "--out", output});
  INFO(run.err);
  REQUIRE(run.code == kSuccess);
  CHECK_THAT(run.out, Contains("edited 1 network in") && Contains("features left"));

  const SafetensorsFile before = load_safetensors(model), after = load_safetensors(output);
  REQUIRE(after.tensors.size() == before.tensors.size());
  for (std::size_t t = 0; t < before.tensors.size(); ++t) {
    CHECK(after.tensors[t].name == before.tensors[t].name);
    CHECK(after.tensors[t].shape == before.tensors[t].shape);
  }
  CHECK(after.tensors.front().bytes != before.tensors.front().bytes);
  CHECK(after.metadata.at("owner") == "somebody");
  CHECK(after.metadata.at("amend.edited_by") == editor);

  // An edit is the same alone and in a population.
  const std::string edited_population = chain.path("for-model");
  REQUIRE(amend_command(
              {"edit", chain.path("pop"), "--editor", editor, "--condition", "pruning=0.9", "--out", edited_population})
              .code == kSuccess);
  const std::vector<float> weights = read_floats(after.tensors.front(), output);
  const Population twins = load_population(edited_population);
  CHECK(std::equal(weights.begin(), weights.end(), twins.networks.front().weights.begin()));

  const CommandRun audit = amend_command({"audit", model, output, "--activation", "relu", "--max-features", "0.5"});
  CHECK(audit.code == kLimitNotMet);
  CHECK_THAT(audit.out, Contains("Audit of network"));
  CHECK(amend_command({"audit", model, chain.path("pop"), "--activation", "relu"}).code == kUserError);
  CHECK(Json::parse(amend_command({"info", output, "--json"}).out)["kind"] == "model");
  CHECK_THAT(amend_command({"info", model}).out, Contains("cannot be edited as it is") && Contains("net.0.weight"));
}

TEST_CASE("another dataset is refused, a missing one asked for", "[cli][slow]") {
  const Chain& chain = Chain::get();
  write_bytes(chain.path("other.yaml"), "name: other\nsynthetic: {rows: 3000, seed: 4}\n");
  const std::string editor = chain.path("editor.safetensors");
  const CommandRun other = amend_command({"edit", chain.path("pop"), "--editor", editor, "--condition", "pruning=0.5",
                                          "--data", chain.path("other.yaml"), "--out", chain.path("nowhere")});
  CHECK(other.code == kUserError);
  CHECK_THAT(other.err, Contains("`tiny` (fingerprint") && Contains("`other` ("));

  std::filesystem::rename(chain.path("data.yaml"), chain.path("moved.yaml"));
  const CommandRun missing = amend_command(
      {"edit", chain.path("pop"), "--editor", editor, "--condition", "pruning=0.5", "--out", chain.path("nowhere")});
  const CommandRun named = amend_command({"edit", chain.path("pop"), "--editor", editor, "--condition", "pruning=0.5",
                                          "--data", chain.path("moved.yaml"), "--out", chain.path("somewhere")});
  std::filesystem::rename(chain.path("moved.yaml"), chain.path("data.yaml"));
  CHECK(missing.code == kUserError);
  CHECK_THAT(missing.err, Contains("which is not there") && Contains("--data"));
  CHECK(named.code == kSuccess);
}

TEST_CASE("a resumed training ends in the same editor file", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const std::string file = chain.path("resumed.safetensors"), checkpoint = file + ".checkpoint";
  const auto train = [&](const char* option, const char* value = "--json") {
    return amend_command({"editor", "train", chain.path("editor.yaml"), "--population", chain.path("pop"), "--out",
                          file, option, value});
  };
  const CommandRun stopped = train("--stop-after", "13");
  INFO(stopped.err);
  REQUIRE(stopped.code == kSuccess);
  CHECK_THAT(stopped.err, Contains("stopped after step 13 of 30"));
  CHECK_FALSE(std::filesystem::exists(file));
  REQUIRE(std::filesystem::exists(checkpoint));
  CHECK(Json::parse(amend_command({"info", checkpoint, "--json"}).out)["step"] == "13");

  const CommandRun unasked = train("--json");
  CHECK(unasked.code == kUserError);
  CHECK_THAT(unasked.err, Contains("--resume"));
  const CommandRun resumed = train("--resume");
  INFO(resumed.err);
  REQUIRE(resumed.code == kSuccess);
  CHECK(read_bytes(file) == read_bytes(chain.path("editor.safetensors")));
  CHECK_FALSE(std::filesystem::exists(checkpoint));
  std::filesystem::remove(file);
  const CommandRun nothing = train("--resume");
  CHECK(nothing.code == kUserError);
  CHECK_THAT(nothing.err, Contains("no checkpoint to resume from"));
}
