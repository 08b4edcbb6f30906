// Which files the commands take, where they find them again, and what they never write over.

#include "app/inputs.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "metanet/data/safetensors.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr char kData[] = "name: tiny\nsynthetic: {rows: 1200, seed: 3}\n";
constexpr char kPopulation[] = R"(dataset: data.yaml
networks: 6
split: {train: 0.5, validation: 0.25, test: 0.25}
widths: [4]
epochs: [1, 2]
min_steps: 10
)";
constexpr char kEditor[] = R"(requirements: {pruning: {}}
editor: {node_width: 4, edge_width: 4, messages: 0, passes: 1}
training: {steps: 2, batch: 2, rows: 16, probe_rows: 16, edit_probe_rows: 32, validations: 1, validation_rows: 16}
)";

/// A project folder `csv` whose population and editor were made from inside it, with relative paths.
struct Project {
  TemporaryFolder folder;

  Project() {
    fs::create_directory(folder / "csv");
    write_bytes(folder / "csv/data.yaml", kData);
    write_bytes(folder / "csv/population.yaml", kPopulation);
    write_bytes(folder / "csv/editor.yaml", kEditor);
    const WorkingFolder inside(folder / "csv");
    const CommandRun population = amend_command({"population", "train", "population.yaml", "--out", "pop"});
    const CommandRun editor =
        amend_command({"editor", "train", "editor.yaml", "--population", "pop", "--out", "e.safetensors"});
    INFO(population.err << editor.err);
    REQUIRE(population.code + editor.code == kSuccess);
  }

  CommandRun edit(const std::string& in, const std::string& out) const {
    const WorkingFolder outside(folder.path());
    return amend_command(
        {"edit", in + "/pop", "--editor", in + "/e.safetensors", "--condition", "pruning=0.5", "--out", out, "--json"});
  }
};

}  // namespace

TEST_CASE("populations and editors work from other folders than they were made in, and after a move", "[cli]") {
  const Project project;
  CommandRun run = project.edit("csv", "edited");
  INFO(run.err);
  CHECK(run.code == kSuccess);
  {
    const WorkingFolder elsewhere(project.folder / "csv/pop");
    CHECK(amend_command({"audit", "../pop", "../../edited"}).code == kSuccess);
  }
  // What the file says is where the data were.
  const fs::path recorded = load_population(project.folder / "edited").dataset_source;
  CHECK(recorded == fs::canonical(project.folder / "csv/data.yaml"));

  fs::rename(project.folder / "csv", project.folder / "moved");
  run = project.edit("moved", "edited-again");
  INFO(run.err);
  CHECK(run.code == kSuccess);

  // Another dataset of that name is not taken for it.
  write_bytes(project.folder / "moved/data.yaml", "name: tiny\nsynthetic: {rows: 1200, seed: 4}\n");
  run = project.edit("moved", "edited-once-more");
  CHECK(run.code == kUserError);
  CHECK_THAT(run.err, Contains("which is not there") && Contains("--data"));
}

TEST_CASE("no command writes over what it reads", "[cli]") {
  const Project project;
  const WorkingFolder inside(project.folder / "csv");
  const std::string editor = read_bytes("e.safetensors");
  SafetensorsFile model;
  const Population population = load_population("pop");
  for (int layer = 0; layer < 2; ++layer) {
    const SubjectNetwork& network = population.networks[0];
    const std::int64_t in = network.widths[static_cast<std::size_t>(layer)],
                       out = network.widths[static_cast<std::size_t>(layer) + 1];
    const std::string name = std::to_string(layer);
    model.tensors.push_back(
        make_float_tensor(name + ".weight", {out, in},
                          {network.weights.data() + network.weight_offset(layer), static_cast<std::size_t>(in * out)}));
    model.tensors.push_back(make_float_tensor(
        name + ".bias", {out}, {network.biases.data() + network.bias_offset(layer), static_cast<std::size_t>(out)}));
  }
  save_safetensors("m.safetensors", model);
  write_bytes("m.yaml", "activation: relu\n");
  fs::copy_file("m.yaml", "described.safetensors");
  fs::create_symlink("data.yaml", "data.safetensors");

  const auto refused = [](const CommandRun& run, const std::string& message) {
    CHECK(run.code == kUserError);
    CHECK_THAT(run.err, Contains("--out") && Contains(message));
  };
  const auto edit = [](const std::string& out, const std::string& model_file = "m.yaml") {
    return amend_command({"edit", "m.safetensors", "--editor", "e.safetensors", "--condition", "pruning=0.5", "--model",
                          model_file, "--force", "--out", out});
  };
  refused(edit("e.safetensors"), "`e.safetensors` would replace `e.safetensors`");
  refused(edit("m.safetensors"), "which this command reads");
  refused(edit("data.safetensors"), "which this command reads");
  refused(edit("described.safetensors", "described.safetensors"), "which this command reads");
  refused(edit("pop/../m.yaml"), "which this command reads");
  refused(edit("out.bin"), "ends in .safetensors");
  CHECK_FALSE(fs::exists("out.bin"));
  CHECK(edit("new.safetensors").code == kSuccess);

  const auto train = [](const std::string& config, const std::string& out) {
    return amend_command({"editor", "train", config, "--population", "pop", "--force", "--out", out});
  };
  fs::copy_file("editor.yaml", "config.safetensors");
  refused(train("config.safetensors", "config.safetensors"), "which this command reads");
  refused(train("editor.yaml", "pop/networks.safetensors"), "which this command reads");
  fs::copy_file("editor.yaml", "x.safetensors.checkpoint");
  refused(train("x.safetensors.checkpoint", "x.safetensors"), "which this command reads");
  refused(train("editor.yaml", "editor"), "ends in .safetensors");

  CHECK(read_bytes("e.safetensors") == editor);
  CHECK(read_bytes("data.yaml") == kData);
  CHECK(read_bytes("config.safetensors") == kEditor);
}

TEST_CASE("a run that fails leaves no folders behind", "[cli]") {
  const Project project;
  const WorkingFolder inside(project.folder / "csv");
  CHECK(amend_command(
            {"edit", "pop", "--editor", "nothing.safetensors", "--condition", "pruning=0.5", "--out", "new/er/edited"})
            .code == kUserError);
  CHECK(amend_command({"population", "train", "editor.yaml", "--out", "new/er/pop"}).code == kUserError);
  CHECK_FALSE(fs::exists("new"));
}

TEST_CASE("a manifest with an edit of the wrong type is a mistake that is named", "[cli]") {
  const Project project;
  CHECK(project.edit("csv", "edited").code == kSuccess);
  const fs::path manifest = project.folder / "edited/manifest.json";
  const Json whole = Json::parse(read_bytes(manifest));
  const auto wrong = [&](auto&& change) {
    Json other = whole;
    change(other["networks"][0]["edit"]);
    write_bytes(manifest, other.dump());
    const CommandRun run = amend_command({"info", (project.folder / "edited").string()});
    CHECK(run.code == kUserError);
    CHECK_THAT(run.err, Contains("manifest.json: network `") && !Contains("json.exception"));
  };
  wrong([](Json& edit) { edit["editor"] = 5; });
  wrong([](Json& edit) { edit.erase("condition"); });
  wrong([](Json& edit) { edit = "done"; });
}

TEST_CASE("an editor whose name is not UTF-8 edits", "[cli]") {
  const Project project;
  const WorkingFolder inside(project.folder / "csv");
  fs::copy_file("e.safetensors", "\xff.safetensors");
  CHECK(amend_command(
            {"edit", "pop", "--editor", "\xff.safetensors", "--condition", "pruning=0.5", "--out", "edited", "--json"})
            .code == kSuccess);
  CHECK(load_population("edited").attributes[0]["edit"]["editor"] == "\xEF\xBF\xBD.safetensors");
}

TEST_CASE("a training that does not converge is no internal failure", "[cli]") {
  const Project project;
  const WorkingFolder inside(project.folder / "csv");
  std::string config = kEditor;
  config.replace(config.find("steps: 2"), 8, "steps: 50, learning_rate: 1e30");
  write_bytes("wild.yaml", config);
  const CommandRun run =
      amend_command({"editor", "train", "wild.yaml", "--population", "pop", "--out", "wild.safetensors"});
  CHECK(run.code == kFailure);
  CHECK_THAT(run.err, Contains("not finite") && Contains("learning rate") && !Contains("internal failure"));
}
