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

/// The file with its description, and perhaps tensors, changed.
template <class Change>
void rewrite(const std::filesystem::path& file, const SafetensorsFile& contents, Change change) {
  SafetensorsFile other = contents;
  nlohmann::json description = nlohmann::json::parse(other.metadata.at("amend.editor"));
  change(description, other);
  other.metadata["amend.editor"] = description.dump();
  save_safetensors(file, other);
}

TEST_CASE("an editor without learned inputs edits networks on a dataset that it never saw") {
  const Dataset seen = test::small_dataset(), unseen = test::other_dataset();
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "editor.safetensors";
  TrainedEditor trained =
      test::small_editor({.requirements = requirements, .passes = 3, .input_embedding = false}, seen, DType::float32);
  save_editor(trained, file);
  TrainedEditor loaded = load(file);
  CHECK(loaded.transfers());
  const auto networks = test::mixed_networks(5, 1, unseen.inputs);
  const auto pointers = pointers_to(networks);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const auto edited = BatchEditor(trained, unseen).edit(pointers, lambda),
             after = BatchEditor(loaded, unseen).edit(pointers, lambda);
  for (std::size_t n = 0; n < networks.size(); ++n) {
    CHECK(edited[n].network.weights != networks[n].weights);
    CHECK(edited[n].network.weights == after[n].network.weights);
    CHECK(edited[n].network.biases == after[n].network.biases);
    for (const std::string& feature : edited[n].features)
      CHECK((feature == "level" || feature == "b" || feature == "lower"));
  }
  // A network on the dataset it was trained on has other inputs, and other datasets other classes.
  const auto others = test::mixed_networks(5);
  CHECK_THAT(test::input_error([&] { BatchEditor(trained, unseen).edit(pointers_to(others), lambda); }),
             Catch::Contains("expected 6 inputs and 2 outputs, got 7 and 2"));
  Dataset classes = unseen;
  classes.classes = 3;
  CHECK(test::input_error([&] { BatchEditor(trained, classes); }) ==
        "other.yaml: expected 2 classes, as in what the editor was trained on (small), got 3");
  Dataset without = unseen;
  without.sensitive.clear();
  const std::string problem = test::input_error([&] { BatchEditor(trained, without); });
  CHECK(problem ==
        (trained.editor->reads_groups() ? "other.yaml: fairness needs a sensitive attribute, `other` has none" : ""));
}

TEST_CASE("an editor that transfers goes by the attributes it knows, or by the first") {
  const Dataset small = test::small_dataset(), other = test::other_dataset();
  const auto names = [](std::initializer_list<std::string> list) { return std::vector<std::string>(list); };
  TrainedEditor trained =
      test::small_editor({.requirements = {"equalised_odds"}, .input_embedding = false}, small, DType::float32);
  CHECK(trained.sensitive_on(small) == names({"group"}));
  CHECK(trained.sensitive_on(other) == names({"region"}));
  trained.config.sensitive = {"region", "age"};
  CHECK(trained.sensitive_on(small) == names({"region"}));
  CHECK(trained.sensitive_on(other) == names({"region"}));
  trained.config.sensitive = {"region", "group"};
  CHECK(trained.groups_on(small) == names({"region", "group"}));
  trained.config.sensitive = {};
  CHECK(trained.groups_on(small) == names({"group"}));
  TrainedEditor pruning =
      test::small_editor({.requirements = {"pruning"}, .input_embedding = false}, small, DType::float32);
  CHECK(pruning.sensitive_on(small).empty());
  pruning.config.sensitive = {"region"};
  CHECK(pruning.sensitive_on(small) == names({"region"}));
  CHECK(pruning.groups_on(small).empty());
}

TEST_CASE("an editor without learned inputs from before it read statistics edits as it did") {
  const Dataset dataset = test::small_dataset();
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "editor.safetensors";
  TrainedEditor trained =
      test::small_editor({.requirements = {"data_minimisation"}, .input_embedding = false}, dataset, DType::float32);
  save_editor(trained, file);
  const SafetensorsFile contents = load_safetensors(file);
  const auto remove_statistics = [](SafetensorsFile& f) {
    std::erase_if(f.tensors, [](const SafetensorsTensor& tensor) { return tensor.name == "input_statistics"; });
    REQUIRE(f.tensors.size() > 3);
  };
  rewrite(file, contents, [&](nlohmann::json& d, SafetensorsFile& f) {
    remove_statistics(f);
    d["dataset"] = d["datasets"][0];
    d.erase("datasets");
    d["inputs"] = 7;
    d["features"] = {"a", "b", "level", "c", "d"};
  });
  TrainedEditor old = load(file);
  REQUIRE(old.datasets.size() == 1);
  CHECK(old.datasets[0].fingerprint == dataset.fingerprint);
  const auto networks = test::mixed_networks(5);
  const auto lambda = test::spread_lambda(trained, networks.size());
  const auto edit = [&](TrainedEditor& editor) {
    std::vector<float> weights;
    for (const EditResult& result : BatchEditor(editor, dataset).edit(pointers_to(networks), lambda))
      weights.insert(weights.end(), result.network.weights.begin(), result.network.weights.end());
    return weights;
  };
  const auto with_statistics = edit(trained);
  ParameterSet& parameters = trained.editor->parameters();
  for (std::size_t p = 0; p < parameters.entries().size(); ++p)
    if (parameters.entries()[p].name == "input_statistics")
      parameters.edit([&](const TensorView& all) {
        const TensorView view = parameters.view_of(all, static_cast<int>(p));
        std::fill_n(view.as<float>(), view.count(), 0.0f);
      });
  CHECK(edit(old) == edit(trained));
  CHECK(edit(old) != with_statistics);
  // Today's file must have them, and a dataset.
  rewrite(file, contents, [&](nlohmann::json&, SafetensorsFile& f) { remove_statistics(f); });
  CHECK_THAT(test::input_error([&] { load(file); }), Catch::Contains("tensors, got"));
  rewrite(file, contents, [](nlohmann::json& d, SafetensorsFile&) { d["datasets"] = nlohmann::json::array(); });
  CHECK_THAT(test::input_error([&] { load(file); }), Catch::Contains("names no dataset"));
  rewrite(file, contents, [](nlohmann::json& d, SafetensorsFile&) { d["datasets"][0].erase("name"); });
  CHECK_THAT(test::input_error([&] { load(file); }), Catch::Contains("expected the key `name`"));
  rewrite(file, contents, [](nlohmann::json& d, SafetensorsFile&) { d["outputs"] = 1; });
  CHECK_THAT(test::input_error([&] { load(file); }), Catch::Contains("contradicts itself"));
}

TEST_CASE("an editor file that lies about its dataset is refused when the two meet") {
  const Dataset dataset = test::small_dataset();
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "editor.safetensors";
  save_editor(test::small_editor({.requirements = {"equalised_odds"}}, dataset, DType::float32), file);
  const SafetensorsFile contents = load_safetensors(file);
  const auto error = [&](const nlohmann::json& lies) {
    rewrite(file, contents, [&](nlohmann::json& description, SafetensorsFile&) { description.update(lies); });
    return test::input_error([&] {
      TrainedEditor trained = load(file);
      BatchEditor(trained, dataset);
    });
  };
  CHECK(error(nlohmann::json::object()).empty());
  const std::string where = "editor for `small`: ";
  // As many as the tensors say, together.
  CHECK(error({{"inputs", 6}, {"outputs", 3}}) ==
        where + "it reads networks of 6 inputs and 3 outputs, but small.yaml has 7 inputs and 2 classes");
  CHECK_THAT(error({{"features", {"a", "b"}}}), Catch::StartsWith(where) && Catch::Contains("2 features"));
  CHECK_THAT(error({{"features", {"a", "b", "level", "c", "e"}}}), Catch::Contains("5 features"));
  CHECK(error({{"sensitive", {"grup"}}}) ==
        where + "sensitive: the dataset `small` has no sensitive attribute `grup`; did you mean `group`?");
  CHECK_THAT(error({{"sensitive", {"group", "group"}}}), Catch::Contains("each attribute once"));
  CHECK(error({{"sensitive", nlohmann::json::array()}}) ==
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
