#include "metanet/train/editor_config.hpp"

#include <catch2/catch.hpp>

#include "engine/error.hpp"
#include "test/support/data_files.hpp"

namespace amend {
namespace {

const std::string kLeast = "requirements:\n  pruning: {}\n";

EditorConfig parse(const std::string& text) { return parse_editor_config(text, "editor.yaml"); }

/// The error of a document with one more line in `section`.
std::string error_in(const std::string& section, const std::string& entry) {
  return test::input_error([&] { parse(kLeast + section + ": {" + entry + "}\n"); });
}

TEST_CASE("an editor configuration has defaults for all but its requirements") {
  const EditorConfig config = parse(kLeast);
  const EditorConfig defaults;
  CHECK(config.shape.requirements == std::vector<std::string>{"pruning"});
  CHECK(config.lambda == std::vector<LambdaRange>{{0.0, 0.0}});
  CHECK(config.shape.node_width == defaults.shape.node_width);
  CHECK(config.gates == defaults.gates);
  CHECK(config.steps == defaults.steps);
  CHECK(config.learning_rate == defaults.learning_rate);
  CHECK(config.validation_rows == defaults.validation_rows);
  CHECK(config.text == kLeast);
}

TEST_CASE("every key of an editor configuration is read") {
  const EditorConfig config = parse(R"(
requirements:
  neurons: {lambda: [0.01, 0.1]}
  equalised_odds: {}
sensitive: [sex, race]
editor: {node_width: 12, edge_width: 20, messages: 2, passes: 1, refine_width: 9, input_embedding: false,
  probe_features: false, edits: mask, precision: bf16}
gates: {weight: hard_concrete, neuron: straight_through, feature: hard_concrete, temperature: 0.7, bound: 3}
training: {seed: 5, steps: 40, batch: 7, rows: 11, cell_rows: 12, probe_rows: 13, probe_cell_rows: 14, edit_probe_rows: 15,
  edit_probe_cell_rows: 16, learning_rate: 0.1, final_learning_rate: 0.2, warmup: 17, weight_decay: 0.3, clip: 0.4,
  average: 0.5, deep_loss: 0.6, barrier: 0.7, balance: 0.8, off: 0.9, scalarisation: chebyshev, split_rows: true, validations: 18, validation_rows: 19}
)");
  CHECK(config.shape.requirements == std::vector<std::string>{"neurons", "equalised_odds"});
  CHECK(config.lambda == std::vector<LambdaRange>{{0.01, 0.1}, {0.0, 0.0}});
  CHECK(config.sensitive == std::vector<std::string>{"sex", "race"});
  CHECK(config.shape.node_width == 12);
  CHECK(config.shape.edge_width == 20);
  CHECK(config.shape.messages == 2);
  CHECK(config.shape.passes == 1);
  CHECK(config.shape.refine_width == 9);
  CHECK_FALSE(config.shape.input_embedding);
  CHECK_FALSE(config.shape.probe_features);
  CHECK(config.shape.edits == Edits::mask);
  CHECK(config.shape.precision == kernels::Precision::bf16);
  CHECK(config.gates == EditorGates{kernels::GateKind::hard_concrete, kernels::GateKind::straight_through,
                                    kernels::GateKind::hard_concrete, 0.7, 3.0});
  CHECK(config.scalarisation == Scalarisation::chebyshev);
  CHECK(config.split_rows);
  CHECK(config.seed == 5);
  const std::vector<std::int64_t> counts = {config.steps,
                                            config.batch,
                                            config.rows,
                                            config.cell_rows,
                                            config.probe_rows,
                                            config.probe_cell_rows,
                                            config.edit_probe_rows,
                                            config.edit_probe_cell_rows,
                                            config.warmup,
                                            config.validations,
                                            config.validation_rows};
  CHECK(counts == std::vector<std::int64_t>{40, 7, 11, 12, 13, 14, 15, 16, 17, 18, 19});
  const std::vector<double> numbers = {config.learning_rate,
                                       config.final_learning_rate,
                                       config.weight_decay,
                                       config.clip,
                                       config.average,
                                       config.deep_loss,
                                       config.barrier,
                                       config.balance,
                                       config.off};
  CHECK(numbers == std::vector<double>{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9});
}

TEST_CASE("every key of an editor configuration has bounds, and the error names it") {
  struct Case {
    const char *section, *key;
    std::vector<const char*> wrong;
  };
  const Case cases[] = {{"editor", "node_width", {"3", "513", "wide", "4.5"}},
                        {"editor", "edge_width", {"3", "513"}},
                        {"editor", "messages", {"-1", "7"}},
                        {"editor", "passes", {"0", "4"}},
                        {"editor", "refine_width", {"3", "129"}},
                        {"editor", "input_embedding", {"2", "maybe"}},
                        {"editor", "probe_features", {"2", "maybe"}},
                        {"editor", "edits", {"gates", "none", "true"}},
                        {"editor", "precision", {"float64", "bfloat16"}},
                        {"gates", "weight", {"scale", "hard"}},
                        {"gates", "neuron", {"scale"}},
                        {"gates", "feature", {"scale"}},
                        {"gates", "temperature", {"0", "-1", ".nan"}},
                        {"gates", "bound", {"0", ".inf"}},
                        {"training", "seed", {"-1", "x"}},
                        {"training", "steps", {"0"}},
                        {"training", "batch", {"0", "65537"}},
                        {"training", "rows", {"1", "1000001"}},
                        {"training", "cell_rows", {"1", "1000001"}},
                        {"training", "probe_rows", {"1", "1000001"}},
                        {"training", "probe_cell_rows", {"1", "1000001"}},
                        {"training", "edit_probe_rows", {"1", "1000001"}},
                        {"training", "edit_probe_cell_rows", {"1", "1000001"}},
                        {"training", "learning_rate", {"0", "-1"}},
                        {"training", "final_learning_rate", {"-0.1", "1.1"}},
                        {"training", "warmup", {"-1"}},
                        {"training", "weight_decay", {"-1"}},
                        {"training", "clip", {"0"}},
                        {"training", "average", {"-0.1", "1"}},
                        {"training", "deep_loss", {"-1"}},
                        {"training", "barrier", {"-1"}},
                        {"training", "balance", {"-0.1", "1.1"}},
                        {"training", "off", {"-0.1", "1"}},
                        {"training", "scalarisation", {"tchebycheff", "max"}},
                        {"training", "validations", {"0", "1001"}},
                        {"training", "validation_rows", {"1", "1000001"}}};
  for (const Case& c : cases)
    for (const char* wrong : c.wrong) {
      INFO(c.key << ": " << wrong);
      CHECK_THAT(error_in(c.section, std::string(c.key) + ": " + wrong),
                 Catch::StartsWith(std::string("editor.yaml: ") + c.section + "." + c.key + ":"));
    }
}

TEST_CASE("an unknown key is an error that names the nearest") {
  CHECK_THAT(error_in("training", "learning_rates: 1"),
             Catch::Contains("learning_rates") && Catch::Contains("`learning_rate`"));
  CHECK_THAT(error_in("editor", "mesages: 1"), Catch::Contains("mesages") && Catch::Contains("`messages`"));
  CHECK_THAT(error_in("gates", "bounds: 1"), Catch::Contains("`bound`"));
  CHECK_THAT(error_in("trainig", "steps: 1"), Catch::Contains("trainig") && Catch::Contains("`training`"));
  CHECK_THAT(test::input_error([] { parse("requirements:\n  pruning: {lamda: [1, 2]}\n"); }),
             Catch::Contains("requirements.pruning") && Catch::Contains("`lambda`"));
}

TEST_CASE("requirements of an editor configuration: at least one, with a range above 0") {
  for (const char* none : {"training: {steps: 1}\n", "requirements: {}\n", "requirements:\n"})
    CHECK_THAT(test::input_error([&] { parse(none); }), Catch::Contains("expected at least one requirement"));
  for (const char* range : {"[0, 1]", "[1e-200, 1e-150]", "[1e-10, 1]", "[1, 1001]", "[-1, 1]", "[2, 1]", "0.1",
                            "[1, 1]", "[1, 2, 3]", "much"})
    CHECK_THAT(test::input_error([&] { parse(std::string("requirements:\n  pruning: {lambda: ") + range + "}\n"); }),
               Catch::StartsWith("editor.yaml: requirements.pruning.lambda"));
}

TEST_CASE("strength runs through a range logarithmically, and 0 is off") {
  const LambdaRange range{0.01, 1.0};
  CHECK(range.at_strength(0.0) == 0.0);
  CHECK(range.at_strength(0.5) == Approx(0.1));
  CHECK(range.at_strength(1.0) == Approx(1.0));
}

TEST_CASE("the editor configurations that come with the program are valid") {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(AMEND_SOURCE_DIR) / "configs")) {
    if (entry.path().filename().string().rfind("editor_", 0) != 0) continue;
    INFO(entry.path());
    CHECK_NOTHROW(load_editor_config(entry.path()));
    ++found;
  }
  CHECK(found > 0);
}

}  // namespace
}  // namespace amend
