// Editors that transfer, as a user has them: trained on two populations, applied to networks on a table they never saw.

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/random.hpp"
#include "metanet/data/population.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"
#include "test/support/pytorch_file.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Json = nlohmann::json;

namespace {

constexpr char kUnseen[] = R"(name: shop
files: [{path: shop.csv}]
columns:
  - {name: visits}
  - {name: town, kind: categorical, role: [feature, sensitive], levels: [east, west]}
  - {name: age}
  - {name: buys, kind: categorical, role: label}
label: {positive: "yes", negative: "no"}
)";
constexpr char kEditor[] = R"(requirements: {pruning: {}, data_minimisation: {}, equalised_odds: {}}
sensitive: [group]
editor: {input_embedding: INPUTS, node_width: 8, edge_width: 8, messages: 0, passes: 2, refine_width: 4}
training: {steps: 20, batch: 4, rows: 64, cell_rows: 16, probe_rows: 64, probe_cell_rows: 16, edit_probe_rows: 100,
           edit_probe_cell_rows: 30, warmup: 5, validations: 2, validation_rows: 100}
)";
constexpr char kCompare[] = R"(population: shops
requirements:
  pruning: {editors: {never saw it: both.safetensors}, strengths: 2, baselines: [obd_fold], budgets: [0.3]}
  equalised_odds: {editors: {never saw it: both.safetensors}, strengths: 2, baselines: [group_thresholds]}
polish: [2]
canonical: {candidates: 3}
)";

/// Customers of a shop: nothing that the synthetic set has.
std::string shop_table() {
  const RandomStream random(9, 1);
  std::string table = "visits,town,age,buys\n";
  for (std::uint64_t row = 0; row < 2000; ++row) {
    const float visits = random.normal(4 * row), age = random.normal(4 * row + 1);
    const bool west = random.uniform(4 * row + 2) < 0.4f;
    const bool buys = visits + (west ? 0.5f : -0.3f) + 0.5f * random.normal(4 * row + 3) > 0.0f;
    table += std::to_string(visits) + (west ? ",west," : ",east,") + std::to_string(age) + (buys ? ",yes\n" : ",no\n");
  }
  return table;
}

std::string with_inputs(const std::string& embedding) {
  std::string text = kEditor;
  return text.replace(text.find("INPUTS"), 6, embedding);
}

/// Three populations and an editor of two of them, made once.
struct Chain {
  TemporaryFolder folder;
  CommandRun editor;

  Chain() {
    write_bytes(folder / "first.yaml", "name: first\nsynthetic: {rows: 3000, seed: 3}\n");
    write_bytes(folder / "second.yaml", "name: second\nsynthetic: {rows: 2500, seed: 4, bias: 2}\n");
    write_bytes(folder / "shop.csv", shop_table());
    write_bytes(folder / "shop.yaml", kUnseen);
    for (const auto& [data, out] : {std::pair{"first", "firsts"}, {"second", "seconds"}, {"shop", "shops"}}) {
      write_bytes(folder / "population.yaml",
                  "dataset: " + std::string(data) +
                      ".yaml\nnetworks: 9\nsplit: {train: 0.4, validation: 0.3, test: 0.3}\n"
                      "widths: [8, 6-4]\nepochs: [4, 6]\nmin_steps: 60\n");
      const CommandRun run = amend_command({"population", "train", path("population.yaml"), "--out", path(out)});
      INFO(run.err);
      REQUIRE(run.code == kSuccess);
    }
    write_bytes(folder / "editor.yaml", with_inputs("false"));
    write_bytes(folder / "learned.yaml", with_inputs("true"));
    write_bytes(folder / "compare.yaml", kCompare);
    editor = train("editor.yaml", {"firsts", "seconds"}, "both.safetensors", {"--json"});
  }
  std::string path(const std::string& name) const { return folder / name; }

  CommandRun train(const std::string& config, const std::vector<std::string>& populations, const std::string& out,
                   const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"editor", "train"};
    for (const std::string& population : populations) {
      arguments.push_back("--population");
      arguments.push_back(path(population));
    }
    arguments.insert(arguments.end(), {path(config), "--out", path(out)});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return amend_command(arguments);
  }
  CommandRun edit(const std::string& input, const std::string& out, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{
        "edit",  path(input), "--editor", path("both.safetensors"), "--condition", "pruning=0.7,equalised_odds=0.5",
        "--out", path(out)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return amend_command(arguments);
  }

  static const Chain& get() {
    static const Chain chain;
    return chain;
  }
};

}  // namespace

TEST_CASE("an editor is trained on two populations and described", "[cli][slow]") {
  const Chain& chain = Chain::get();
  INFO(chain.editor.err);
  REQUIRE(chain.editor.code == kSuccess);
  const Json editor = Json::parse(amend_command({"info", chain.path("both.safetensors"), "--json"}).out);
  REQUIRE(editor["datasets"].size() == 2);
  CHECK(editor["datasets"][0]["name"] == "first");
  CHECK(editor["datasets"][1]["name"] == "second");
  CHECK_FALSE(editor.contains("inputs"));
  CHECK(editor["outputs"] == 2);
  CHECK(editor["switches"]["editor.input_embedding"] == false);
  CHECK(editor["provenance"]["networks"] == 8);
  CHECK_THAT(amend_command({"info", chain.path("both.safetensors")}).out,
             Contains("any dataset of 2 classes, trained on") && Contains("first (fingerprint") &&
                 Contains("second (fingerprint") &&
                 Contains("groups: group; where there is none of these, the first sensitive attribute of a dataset"));
}

TEST_CASE("an interrupted training on two populations continues from the command line", "[cli][slow]") {
  const Chain& chain = Chain::get();
  REQUIRE(chain.train("editor.yaml", {"firsts", "seconds"}, "again.safetensors", {"--stop-after", "7"}).code ==
          kSuccess);
  CHECK_FALSE(std::filesystem::exists(chain.path("again.safetensors")));
  REQUIRE(chain.train("editor.yaml", {"firsts", "seconds"}, "again.safetensors", {"--resume"}).code == kSuccess);
  CHECK(read_bytes(chain.path("again.safetensors")) == read_bytes(chain.path("both.safetensors")));
}

TEST_CASE("training on two populations refuses what cannot be", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const auto refused = [&](const CommandRun& run, const std::string& message) {
    CHECK(run.code == kUserError);
    CHECK_THAT(run.err, Contains(message));
  };
  refused(chain.train("learned.yaml", {"firsts", "seconds"}, "no.safetensors"),
          "learned.yaml: editor.input_embedding: expected false for 2 populations, got true");
  refused(chain.train("editor.yaml", {"firsts", "seconds"}, "no.safetensors", {"--data", chain.path("first.yaml")}),
          "--data: expected one description for each of 2 populations");
  refused(chain.train("editor.yaml", {"firsts", "seconds"}, "no.safetensors",
                      {"--data", chain.path("second.yaml"), "--data", chain.path("first.yaml")}),
          "was made with the dataset `first`");
  refused(chain.train("editor.yaml", {"firsts", "seconds"}, "seconds/networks.safetensors", {"--force"}),
          "which this command reads");
  CHECK_FALSE(std::filesystem::exists(chain.path("no.safetensors")));
  CHECK(chain
            .train("editor.yaml", {"firsts", "seconds"}, "given.safetensors",
                   {"--data", chain.path("first.yaml"), "--data", chain.path("second.yaml"), "--stop-after", "1"})
            .code == kSuccess);
}

TEST_CASE("networks on a table that the editor never saw are edited and audited", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const CommandRun run = chain.edit("shops", "edited", {"--json", "--polish", "2"});
  INFO(run.err);
  REQUIRE(run.code == kSuccess);
  const Json json = Json::parse(run.out);
  CHECK(json["networks"].size() == 9);
  for (const Json& network : json["networks"]) CHECK(network["nonzero_share"] < 1.0);
  const Population edited = load_population(chain.path("edited"));
  CHECK(edited.dataset_name == "shop");
  CHECK(amend_command({"audit", chain.path("shops"), chain.path("edited"), "--json"}).code == kSuccess);

  const CommandRun other = chain.edit("shops", "no", {"--data", chain.path("first.yaml")});
  CHECK(other.code == kUserError);
  CHECK_THAT(other.err, Contains("was made with the dataset `shop`"));
  CHECK(chain.edit("firsts", "own", {}).code == kSuccess);
}

TEST_CASE("a model does not say which table it reads", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const Population shops = load_population(chain.path("shops"));
  write_pytorch_file(chain.path("model.safetensors"), shops.networks.front());
  const std::string activation = to_string(shops.networks.front().activation);
  const CommandRun unknown = chain.edit("model.safetensors", "small.safetensors", {"--activation", activation});
  CHECK(unknown.code == kUserError);
  CHECK_THAT(unknown.err, Contains("model.safetensors: does not say which dataset it belongs to"));
  const CommandRun known = chain.edit("model.safetensors", "small.safetensors",
                                      {"--activation", activation, "--data", chain.path("shop.yaml")});
  INFO(known.err);
  CHECK(known.code == kSuccess);
  const CommandRun wrong = chain.edit("model.safetensors", "wrong.safetensors",
                                      {"--activation", activation, "--data", chain.path("first.yaml")});
  CHECK(wrong.code == kUserError);
  CHECK_THAT(wrong.err, Contains("inputs and 2 outputs, got 4 and 2"));
}

TEST_CASE("an editor is compared on a dataset that it never saw", "[cli][slow]") {
  const Chain& chain = Chain::get();
  const CommandRun run = amend_command({"compare", chain.path("compare.yaml"), "--out", chain.path("compared")});
  INFO(run.err);
  REQUIRE(run.code == kSuccess);
  const Json json = Json::parse(read_bytes(chain.path("compared.json")));
  CHECK(json["dataset"] == "shop");
  CHECK(json["tables"].size() == 2);
}
