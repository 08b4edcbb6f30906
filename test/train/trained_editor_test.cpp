#include "metanet/train/trained_editor.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "metanet/data/safetensors.hpp"
#include "metanet/graph/predict.hpp"
#include "metanet/train/batch_editor.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

TrainedEditor load(const std::filesystem::path& file) { return load_editor(file, make_requirements, Device::cpu()); }

TEST_CASE("a saved editor edits to the same bits after loading") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const std::string switches = GENERATE("", ", probe_features: false, edits: mask");
  const bool embedding = GENERATE(true, false);
  const test::TemporaryFolder folder;
  TrainedEditor trained = test::small_editor({.requirements = requirements,
                                              .messages = 2,
                                              .passes = 3,
                                              .input_embedding = embedding,
                                              .gate = "hard_concrete",
                                              .editor = switches},
                                             dataset, DType::float32);
  trained.provenance["steps"] = 17;
  for (std::size_t r = 0; r < requirements.size(); ++r)
    trained.kept.push_back({r % 2 == 0 ? std::vector<double>{0.75, 0.5, 0.1} : std::vector<double>{}});
  save_editor(trained, folder / "editor.safetensors");
  TrainedEditor loaded = load(folder / "editor.safetensors");
  CHECK(loaded.config.shape == trained.config.shape);
  CHECK(loaded.config.gates == trained.config.gates);
  CHECK(loaded.config.lambda == trained.config.lambda);
  CHECK(loaded.config.sensitive == trained.config.sensitive);
  CHECK(loaded.config.text == trained.config.text);
  CHECK(loaded.config.edit_probe_rows == trained.config.edit_probe_rows);
  REQUIRE(loaded.datasets.size() == 1);
  CHECK(loaded.datasets[0].name == "small");
  CHECK(loaded.datasets[0].source == "small.yaml");
  CHECK(loaded.datasets[0].fingerprint == dataset.fingerprint);
  CHECK(loaded.feature_names ==
        (embedding ? std::vector<std::string>{"a", "b", "level", "c", "d"} : std::vector<std::string>{}));
  CHECK(loaded.provenance == trained.provenance);
  REQUIRE(loaded.kept.size() == requirements.size());
  for (std::size_t r = 0; r < requirements.size(); ++r) CHECK(loaded.kept[r].kept == trained.kept[r].kept);
  CHECK(test::same_bits(loaded.editor->parameters().value(), trained.editor->parameters().value()));
  const auto networks = test::mixed_networks(5);
  const auto pointers = pointers_to(networks);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const auto before = BatchEditor(trained, dataset).edit(pointers, lambda),
             after = BatchEditor(loaded, dataset).edit(pointers, lambda);
  for (std::size_t n = 0; n < 5; ++n) {
    CHECK(before[n].network.weights == after[n].network.weights);
    CHECK(before[n].network.biases == after[n].network.biases);
  }
}

TEST_CASE("what is wrong with an editor file is said with its name") {
  const Dataset dataset = test::small_dataset();
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "editor.safetensors";
  save_editor(test::small_editor({.requirements = {"pruning"}, .passes = 3}, dataset, DType::float32), file);
  const std::string bytes = test::read_bytes(file);
  const SafetensorsFile contents = load_safetensors(file);
  const auto error = [&] { return test::input_error([&] { load(file); }); };
  CHECK(error().empty());

  for (const std::size_t length :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    test::write_bytes(file, bytes.substr(0, length));
    INFO("cut to " << length);
    CHECK_THAT(error(), Catch::StartsWith(file.string()));
  }
  const auto changed = [&](auto&& change) {
    SafetensorsFile other = contents;
    change(other);
    save_safetensors(file, other);
    const std::string message = error();
    CHECK_THAT(message, Catch::StartsWith(file.string()));
    return message;
  };
  const auto described = [&](auto&& change) {
    return changed([&](SafetensorsFile& f) {
      nlohmann::json description = nlohmann::json::parse(f.metadata.at("amend.editor"));
      change(description);
      f.metadata["amend.editor"] = description.dump();
    });
  };
  const std::string name = contents.tensors[3].name;
  CHECK_THAT(changed([&](SafetensorsFile& f) { f.tensors.erase(f.tensors.begin() + 3); }),
             Catch::Contains("tensors, got"));
  CHECK_THAT(changed([&](SafetensorsFile& f) { f.tensors[3].name = "other"; }),
             Catch::Contains("the tensor `" + name + "` is missing"));
  CHECK_THAT(changed([&](SafetensorsFile& f) { f.tensors[3].shape.push_back(1); }),
             Catch::Contains("expected tensor `" + name + "` of shape"));
  CHECK_THAT(changed([&](SafetensorsFile& f) {
               const std::vector<float> nan = {std::numeric_limits<float>::quiet_NaN()};
               for (SafetensorsTensor& tensor : f.tensors)
                 if (tensor.shape == std::vector<std::int64_t>{1}) tensor = make_float_tensor(tensor.name, {1}, nan);
             }),
             Catch::Contains("prior_gain"));
  CHECK_THAT(changed([&](SafetensorsFile& f) { f.metadata.clear(); }), Catch::Contains("this is not an editor file"));
  CHECK_THAT(changed([&](SafetensorsFile& f) { f.metadata["amend.editor"] = "{"; }), Catch::Contains("amend.editor"));
  CHECK_THAT(described([](nlohmann::json& d) { d["version"] = 2; }),
             Catch::Contains("expected version 1 of an editor file, got 2"));
  for (const char* key :
       {"version", "dataset", "inputs", "outputs", "features", "lambda", "sensitive", "config", "provenance"})
    CHECK_THAT(described([&](nlohmann::json& d) { d.erase(key); }),
               Catch::Contains("expected the key `" + std::string(key) + "`"));
  CHECK_THAT(described([](nlohmann::json& d) { d["inputs"] = "seven"; }), Catch::Contains("wrong type"));
  CHECK_THAT(described([](nlohmann::json& d) { d["inputs"] = 0; }), Catch::Contains("contradicts itself"));
  CHECK_THAT(described([](nlohmann::json& d) { d["lambda"] = {{0.1, 0.01}}; }), Catch::Contains("lambda ranges"));
  CHECK_THAT(described([](nlohmann::json& d) { d["lambda"] = {{0.1}}; }), Catch::Contains("wrong type"));
  CHECK_THAT(described([](nlohmann::json& d) { d["inputs"] = 9; }), Catch::Contains("of shape"));
  CHECK_THAT(described([](nlohmann::json& d) { d["config"] = "requirements: {prunning: {}}"; }),
             Catch::Contains("pruning"));
  CHECK_THAT(
      described([](nlohmann::json& d) { d["config"] = "requirements: {pruning: {}}\neditor: {edits: residual}"; }),
      Catch::Contains("config: editor.edits: expected both or mask for `pruning`"));
  for (const nlohmann::json& size : {nlohmann::json(4294967303), nlohmann::json(7.5), nlohmann::json(-7)})
    CHECK_THAT(described([&](nlohmann::json& d) { d["inputs"] = size; }),
               Catch::Contains("expected a size as `inputs`"));
  // Refused before 64 GB are asked for.
  for (const char* key : {"inputs", "outputs"})
    CHECK_THAT(described([&](nlohmann::json& d) { d[key] = 2'000'000'000; }),
               Catch::Contains("expected tensor `node_entry` of shape"));
  CHECK_THAT(described([](nlohmann::json& d) { d["features"] = nlohmann::json::array(); }),
             Catch::Contains("contradicts itself"));
  CHECK_THAT(described([](nlohmann::json& d) { d["lambda"] = {{1e-200, 1e-150}}; }), Catch::Contains("lambda ranges"));
  CHECK_THAT(described([](nlohmann::json& d) { d["kept"] = {{0.5, -0.1}}; }), Catch::Contains("at least 0"));
  CHECK_THAT(described([](nlohmann::json& d) { d["kept"] = {{0.5, "x"}}; }), Catch::Contains("wrong type"));
  CHECK_THAT(described([](nlohmann::json& d) {
               d["kept"] = {{0.5, 0.1}, {1.0, 0.5}};
             }),
             Catch::Contains("contradicts itself"));
  CHECK_THAT(described([](nlohmann::json& d) { d["provenance"] = 5; }), Catch::Contains("`provenance`"));
  CHECK_THAT(described([](nlohmann::json& d) { d = nlohmann::json::array(); }), Catch::Contains("expected the key"));
}

TEST_CASE("an editor file that lies about its dataset is refused when the two meet") {
  const Dataset dataset = test::small_dataset();
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "editor.safetensors";
  save_editor(
      test::small_editor({.requirements = {"equalised_odds"}, .input_embedding = false}, dataset, DType::float32),
      file);
  const SafetensorsFile contents = load_safetensors(file);
  const auto error = [&](const char* key, const nlohmann::json& value) {
    SafetensorsFile other = contents;
    nlohmann::json description = nlohmann::json::parse(other.metadata.at("amend.editor"));
    if (key[0] != '\0') description[key] = value;
    other.metadata["amend.editor"] = description.dump();
    save_safetensors(file, other);
    return test::input_error([&] {
      TrainedEditor trained = load(file);
      BatchEditor(trained, dataset);
    });
  };
  CHECK(error("", {}).empty());
  const std::string where = "editor for `small`: ";
  CHECK(error("inputs", 9) == where +
                                  "it reads networks of 9 inputs and 2 outputs, but small.yaml has 7 inputs and 2 "
                                  "classes");
  CHECK_THAT(error("outputs", 3), Catch::StartsWith(where) && Catch::Contains("3 outputs"));
  CHECK_THAT(error("features", {"a", "b"}), Catch::StartsWith(where) && Catch::Contains("2 features"));
  CHECK_THAT(error("features", {"a", "b", "level", "c", "e"}), Catch::Contains("5 features"));
  CHECK(error("sensitive", {"grup"}) ==
        where + "sensitive: the dataset `small` has no sensitive attribute `grup`; did you mean `group`?");
  CHECK_THAT(error("sensitive", {"group", "group"}), Catch::Contains("each attribute once"));
  CHECK(error("sensitive", nlohmann::json::array()) ==
        file.string() + ": its description contradicts itself: fairness without a sensitive attribute");
}

TEST_CASE("an editor whose dataset has a path that is not UTF-8 is saved") {
  const Dataset dataset = test::small_dataset();
  const test::TemporaryFolder folder;
  TrainedEditor trained = test::small_editor({.requirements = {"pruning"}}, dataset, DType::float32);
  trained.datasets[0].source = "/data/\xff.yaml";
  save_editor(trained, folder / "editor.safetensors");
  CHECK(load(folder / "editor.safetensors").datasets[0].source == "/data/\xEF\xBF\xBD.yaml");
}

TEST_CASE("an editor says which requirements it knows") {
  const Dataset dataset = test::small_dataset();
  const TrainedEditor trained =
      test::small_editor({.requirements = {"pruning", "equalised_odds"}}, dataset, DType::float32);
  CHECK(trained.requirement("equalised_odds", "--require") == 1);
  CHECK(test::input_error([&] { trained.requirement("prune", "--require"); }) ==
        "--require: the editor does not know the requirement `prune`; did you mean `pruning`? It was trained for: "
        "pruning, "
        "equalised_odds");
}

TEST_CASE("an untrained editor takes sizes, ranges and attributes from dataset and requirements") {
  Dataset dataset = test::small_dataset();
  const TrainedEditor trained =
      test::small_editor({.requirements = {"pruning", "equalised_odds"}}, dataset, DType::float32);
  CHECK(trained.config.shape.inputs == 7);
  CHECK(trained.config.shape.outputs == 2);
  CHECK(trained.config.shape.features == 5);
  CHECK(trained.config.lambda == std::vector<LambdaRange>{{0.002, 0.2}, {0.01, 1.0}});
  CHECK(trained.config.sensitive == std::vector<std::string>{"group"});
  EditorConfig config = test::small_config({.requirements = {"pruning"}});
  config.sensitive = {"nonsense"};
  CHECK_THAT(test::input_error([&] { make_editor(config, dataset, make_requirements, DType::float32, Device::cpu()); }),
             Catch::StartsWith("small.yaml: sensitive: the dataset `small` has no sensitive attribute `nonsense`"));
  dataset.sensitive.clear();
  CHECK_THAT(
      test::input_error([&] { test::small_editor({.requirements = {"equalised_odds"}}, dataset, DType::float32); }),
      Catch::Contains("small.yaml: fairness needs a sensitive attribute"));
  CHECK_THAT(test::input_error([&] { test::small_editor({.requirements = {"odds"}}, dataset, DType::float32); }),
             Catch::StartsWith("small.yaml: requirements: unknown requirement `odds`"));
  CHECK_THROWS_WITH(save_editor(test::small_editor({.requirements = {"pruning"}}, dataset, DType::float64), "editor"),
                    Catch::Contains("only float32"));
}

}  // namespace
}  // namespace amend
