#include "metanet/train/trained_editor.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "metanet/data/config.hpp"
#include "metanet/data/json_reader.hpp"
#include "metanet/data/safetensors.hpp"

namespace amend {

namespace {

constexpr const char* kEditorFormat = "amend.editor";
constexpr int kEditorVersion = 1;

const nlohmann::json& at(const nlohmann::json& object, const char* key, const std::string& where) {
  if (!object.is_object() || !object.contains(key)) fail_input(where, "expected the key `", key, "`");
  return object.at(key);
}

int size_at(const nlohmann::json& object, const char* key, const std::string& where) {
  const nlohmann::json& value = at(object, key, where);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<int>::max())
    fail_input(where, "its description has a value of the wrong type: expected a size as `", key, "`, got ",
               in_quotes(value.dump()));
  return value.get<int>();
}

/// Compares the sizes in the description with the tensors, before memory of these sizes is asked for.
void check_sizes(const EditorConfig& config, const SafetensorsFile& contents, const std::string& where) {
  const EditorShape& shape = config.shape;
  if (shape.outputs < 2 || config.lambda.size() != shape.requirements.size() ||
      (shape.input_embedding && (shape.inputs < 1 || shape.features < 1 || shape.features > shape.inputs)))
    fail_input(where, "its description contradicts itself");
  if (!shape.input_embedding) return;
  const SafetensorsTensor* const table = contents.find("node_entry");
  if (!table) fail_input(where, "the tensor `node_entry` is missing");
  const std::vector<std::int64_t> expected{std::int64_t{shape.inputs} + shape.outputs + 1, shape.node_width};
  if (table->shape != expected)
    fail_input(where, "expected tensor `node_entry` of shape ", shape_text(expected), " for ", shape.inputs,
               " inputs and ", shape.outputs, " outputs, got ", shape_text(table->shape));
}

/// Residuals alone close no gate.
void check_edits(const EditorShape& shape, const Requirements& requirements, const std::string& where) {
  if (shape.edits != Edits::residual) return;
  for (const auto& requirement : requirements)
    if (const EditGates gates = requirement->gates(); gates.weights || gates.neurons || gates.features)
      fail_input(where + ": editor.edits",
                 "expected both or mask for `" + requirement->name() + "`, which needs gates, got `residual`");
}

bool has_attribute(const Dataset& dataset, const std::string& name) {
  return std::any_of(dataset.sensitive.begin(), dataset.sensitive.end(),
                     [&](const SensitiveAttribute& attribute) { return attribute.name == name; });
}

void check_attributes(const std::vector<std::string>& attributes, const Dataset& dataset, const std::string& where) {
  std::vector<std::string> known;
  for (const SensitiveAttribute& attribute : dataset.sensitive) known.push_back(attribute.name);
  for (const std::string& name : attributes) {
    if (known.empty()) fail_input(where, "`", name, "`: the dataset `", dataset.name, "` has no sensitive attribute");
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail_input(where, "the dataset `", dataset.name, "` has no sensitive attribute `", name, "`; did you mean `",
                 nearest_name(name, known), "`?");
    if (std::count(attributes.begin(), attributes.end(), name) > 1)
      fail_input(where, "expected each attribute once, got `", name, "` again");
  }
}

/// Whoever trains on several datasets may name attributes that only some of them have.
void check_attributes_somewhere(const std::vector<std::string>& attributes, std::span<const Dataset* const> datasets,
                                const std::string& where) {
  for (const std::string& name : attributes) {
    const auto has = [&](const Dataset* dataset) { return has_attribute(*dataset, name); };
    if (std::none_of(datasets.begin(), datasets.end(), has))
      fail_input(where, "none of the datasets has a sensitive attribute `", name, "`");
    if (std::count(attributes.begin(), attributes.end(), name) > 1)
      fail_input(where, "expected each attribute once, got `", name, "` again");
  }
}

void expect_groups(const Dataset& dataset) {
  if (dataset.sensitive.empty())
    fail_input(dataset.source.string(), "fairness needs a sensitive attribute, `", dataset.name, "` has none");
}

nlohmann::json dataset_json(const EditorDataset& dataset) {
  return {{"name", dataset.name}, {"source", dataset.source.string()}, {"fingerprint", dataset.fingerprint}};
}

EditorDataset parse_dataset(const nlohmann::json& json, const std::string& where) {
  return {.name = at(json, "name", where).get<std::string>(),
          .source = at(json, "source", where).get<std::string>(),
          .fingerprint = at(json, "fingerprint", where).get<std::string>()};
}

}  // namespace

std::vector<std::string> TrainedEditor::sensitive_on(const Dataset& dataset) const {
  if (!transfers()) return config.sensitive;
  std::vector<std::string> known;
  for (const std::string& name : config.sensitive)
    if (has_attribute(dataset, name)) known.push_back(name);
  if (known.empty() && editor->reads_groups() && !dataset.sensitive.empty())
    known.push_back(dataset.sensitive.front().name);
  return known;
}

std::vector<std::string> TrainedEditor::groups_on(const Dataset& dataset) const {
  return editor->reads_groups() ? sensitive_on(dataset) : std::vector<std::string>{};
}

std::string TrainedEditor::dataset_names() const {
  std::string names;
  for (const EditorDataset& dataset : datasets) names += (names.empty() ? "" : ", ") + dataset.name;
  return names;
}

void TrainedEditor::probe_with(std::int64_t rows) {
  check(rows > 0, "probe_with", "expected at least one row");
  const double share = static_cast<double>(rows) / static_cast<double>(config.edit_probe_rows);
  config.edit_probe_cell_rows =
      std::max<std::int64_t>(1, std::llround(share * static_cast<double>(config.edit_probe_cell_rows)));
  config.edit_probe_rows = rows;
}

int TrainedEditor::requirement(const std::string& name, const std::string& where) const {
  const auto& names = config.shape.requirements;
  for (std::size_t r = 0; r < names.size(); ++r)
    if (names[r] == name) return static_cast<int>(r);
  std::string known;
  for (const std::string& other : names) known += (known.empty() ? "" : ", ") + other;
  fail_input(where, "the editor does not know the requirement `", name, "`; did you mean `", nearest_name(name, names),
             "`? It was trained for: ", known);
}

TrainedEditor make_editor(const EditorConfig& config, std::span<const Dataset* const> datasets,
                          RequirementFactory factory, DType dtype, Device device) {
  check(!datasets.empty(), "make_editor", "expected a dataset");
  const Dataset& first = *datasets.front();
  const std::string where = config.file.string();
  TrainedEditor trained;
  trained.config = config;
  const Requirements requirements = factory(config.shape.requirements, where + ": requirements");
  check_edits(config.shape, requirements, where);
  for (std::size_t r = 0; r < requirements.size(); ++r)
    if (trained.config.lambda[r].high == 0.0)
      trained.config.lambda[r] = {requirements[r]->default_lambda_low(), requirements[r]->default_lambda_high()};
  EditorShape& shape = trained.config.shape;
  if (datasets.size() > 1) {
    if (shape.input_embedding)
      fail_input(where + ": editor.input_embedding", "expected false for ", datasets.size(),
                 " populations, got true: a learned vector belongs to an input of one dataset");
    for (const Dataset* dataset : datasets)
      if (dataset->classes != first.classes)
        fail_input(dataset->source.string(), "expected ", first.classes, " classes as in `", first.name, "`, got ",
                   dataset->classes);
    check_attributes_somewhere(config.sensitive, datasets, where + ": sensitive");
  } else {
    check_attributes(config.sensitive, first, where + ": sensitive");
  }
  shape.outputs = first.classes;
  if (shape.input_embedding) {
    shape.inputs = first.inputs;
    shape.features = static_cast<int>(first.features.size());
    for (const Feature& feature : first.features) trained.feature_names.push_back(feature.name);
  }
  trained.editor = std::make_unique<Editor>(shape, config.gates, requirements, dtype, device, config.seed);
  for (const Dataset* dataset : datasets) {
    if (trained.editor->reads_groups()) expect_groups(*dataset);
    trained.datasets.push_back({dataset->name, dataset->source, dataset->fingerprint});
  }
  if (datasets.size() == 1 && trained.editor->reads_groups() && trained.config.sensitive.empty())
    trained.config.sensitive = {first.sensitive.front().name};
  trained.provenance = nlohmann::json::object();
  return trained;
}

TrainedEditor make_editor(const EditorConfig& config, const Dataset& dataset, RequirementFactory factory, DType dtype,
                          Device device) {
  const Dataset* const one = &dataset;
  return make_editor(config, {&one, 1}, factory, dtype, device);
}

void save_editor(const TrainedEditor& trained, const std::filesystem::path& file) {
  const ParameterSet& parameters = trained.editor->parameters();
  check(trained.editor->dtype() == DType::float32, "save_editor", "only float32 editors are stored");
  nlohmann::json lambda = nlohmann::json::array();
  for (const LambdaRange& range : trained.config.lambda) lambda.push_back({range.low, range.high});
  nlohmann::json kept = nlohmann::json::array();
  for (const KeptCurve& curve : trained.kept) kept.push_back(curve.kept);
  nlohmann::json description{{"format", kEditorFormat},
                             {"version", kEditorVersion},
                             {"outputs", trained.config.shape.outputs},
                             {"lambda", lambda},
                             {"kept", kept},
                             {"sensitive", trained.config.sensitive},
                             {"config_file", trained.config.file.filename().string()},
                             {"config", trained.config.text},
                             {"provenance", trained.provenance}};
  if (trained.transfers()) {
    for (const EditorDataset& dataset : trained.datasets) description["datasets"].push_back(dataset_json(dataset));
  } else {
    description["dataset"] = dataset_json(trained.datasets.front());
    description["inputs"] = trained.config.shape.inputs;
    description["features"] = trained.feature_names;
  }
  SafetensorsFile contents;
  // A path may hold bytes that are no UTF-8.
  contents.metadata[kEditorFormat] = description.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const Tensor values = parameters.on_host();
  for (std::size_t index = 0; index < parameters.entries().size(); ++index) {
    const auto& entry = parameters.entries()[index];
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < entry.shape.rank(); ++axis) shape.push_back(entry.shape[axis]);
    const TensorView value = parameters.view_of(values, static_cast<int>(index));
    contents.tensors.push_back(
        make_float_tensor(entry.name, shape, {value.as<float>(), static_cast<std::size_t>(value.count())}));
  }
  save_safetensors(file, contents);
}

void expect_dataset(const TrainedEditor& trained, const Dataset& dataset) {
  const std::string where = dataset.source.string();
  const EditorShape& shape = trained.config.shape;
  if (trained.transfers()) {
    if (dataset.classes != shape.outputs)
      fail_input(where, "expected ", shape.outputs, " classes, as in what the editor was trained on (",
                 trained.dataset_names(), "), got ", dataset.classes);
    if (trained.editor->reads_groups()) expect_groups(dataset);
    return;
  }
  const EditorDataset& own = trained.datasets.front();
  if (dataset.fingerprint != own.fingerprint)
    fail_input(where, "expected the dataset the editor was trained for, `", own.name, "` (fingerprint ",
               own.fingerprint.substr(0, 12), "), got `", dataset.name, "` (", dataset.fingerprint.substr(0, 12), ")");
  // The fingerprint tells datasets apart; what an editor file says of this one may still be wrong.
  const std::string editor = "editor for `" + own.name + "`";
  if (shape.inputs != dataset.inputs || shape.outputs != dataset.classes)
    fail_input(editor, "it reads networks of ", shape.inputs, " inputs and ", shape.outputs, " outputs, but ", where,
               " has ", dataset.inputs, " inputs and ", dataset.classes, " classes");
  std::vector<std::string> features;
  for (const Feature& feature : dataset.features) features.push_back(feature.name);
  if (trained.feature_names != features)
    fail_input(editor, "the ", trained.feature_names.size(), " features it names are not the ", features.size(), " of ",
               where);
  check_attributes(trained.config.sensitive, dataset, editor + ": sensitive");
}

TrainedEditor load_editor(const std::filesystem::path& file, RequirementFactory factory, Device device) {
  SafetensorsFile contents = load_safetensors(file);
  const std::string where = file.string();
  const auto metadata = contents.metadata.find(kEditorFormat);
  if (metadata == contents.metadata.end())
    fail_input(where, "this is not an editor file (no metadata `", kEditorFormat, "`)");
  const nlohmann::json description = parse_json(metadata->second, where + ": " + kEditorFormat);
  TrainedEditor trained;
  try {
    if (at(description, "version", where).get<int>() != kEditorVersion)
      fail_input(where, "expected version ", kEditorVersion, " of an editor file, got ",
                 description.at("version").dump());
    trained.config = parse_editor_config(at(description, "config", where).get<std::string>(), where + ": config");
    // `dataset` alone: of an editor with an input embedding, or from before editors were trained on several.
    if (trained.transfers() && description.contains("datasets"))
      for (const auto& dataset : description.at("datasets")) trained.datasets.push_back(parse_dataset(dataset, where));
    else
      trained.datasets.push_back(parse_dataset(at(description, "dataset", where), where));
    if (trained.datasets.empty()) fail_input(where, "its description names no dataset");
    trained.config.shape.outputs = size_at(description, "outputs", where);
    if (!trained.transfers()) {
      trained.feature_names = at(description, "features", where).get<std::vector<std::string>>();
      trained.config.shape.inputs = size_at(description, "inputs", where);
      trained.config.shape.features = static_cast<int>(trained.feature_names.size());
    }
    trained.config.sensitive = at(description, "sensitive", where).get<std::vector<std::string>>();
    trained.config.lambda.clear();
    for (const auto& range : at(description, "lambda", where))
      trained.config.lambda.push_back({range.at(0).get<double>(), range.at(1).get<double>()});
    if (description.contains("kept"))
      for (const auto& curve : description.at("kept")) trained.kept.push_back({curve.get<std::vector<double>>()});
    trained.provenance = at(description, "provenance", where);
    if (!trained.provenance.is_object()) fail_input(where, "expected `provenance` to be an object");
  } catch (const nlohmann::json::exception& error) {
    fail_input(where, "its description has a value of the wrong type: ", error.what());
  }
  const EditorShape& shape = trained.config.shape;
  Requirements requirements = factory(shape.requirements, where);
  check_edits(shape, requirements, where + ": config");
  check_sizes(trained.config, contents, where);
  for (const LambdaRange& range : trained.config.lambda)
    if (!(range.low >= kLeastLambda && range.high > range.low && range.high <= kMostLambda))
      fail_input(where, "expected lambda ranges [low, high] from ", kLeastLambda, " to ", kMostLambda);
  if (!trained.kept.empty() && trained.kept.size() != shape.requirements.size())
    fail_input(where, "its description contradicts itself: ", trained.kept.size(), " curves of what is kept for ",
               shape.requirements.size(), " requirements");
  for (const KeptCurve& curve : trained.kept)
    for (const double value : curve.kept)
      if (!(value >= 0.0)) fail_input(where, "expected what is `kept` to be numbers of at least 0");
  trained.editor = std::make_unique<Editor>(shape, trained.config.gates, std::move(requirements), DType::float32,
                                            device, trained.config.seed);
  if (!trained.transfers() && trained.editor->reads_groups() && trained.config.sensitive.empty())
    fail_input(where, "its description contradicts itself: fairness without a sensitive attribute");
  ParameterSet& parameters = trained.editor->parameters();
  if (trained.transfers() && shape.probe_features && !description.contains("datasets")) {
    // From before editors read statistics: one that does not mind them.
    const std::vector<float> zeros(static_cast<std::size_t>(shape.node_width * kInputStatistics), 0.0f);
    contents.tensors.push_back(make_float_tensor(kStatisticsParameter, {shape.node_width, kInputStatistics}, zeros));
  }
  if (contents.tensors.size() != parameters.entries().size())
    fail_input(where, "expected ", parameters.entries().size(), " tensors, got ", contents.tensors.size());
  std::map<std::string_view, const SafetensorsTensor*> by_name;
  for (const auto& tensor : contents.tensors) by_name[tensor.name] = &tensor;
  const Tensor all = parameters.on_host();
  for (std::size_t index = 0; index < parameters.entries().size(); ++index) {
    const auto& entry = parameters.entries()[index];
    const auto found = by_name.find(entry.name);
    if (found == by_name.end()) fail_input(where, "the tensor `", entry.name, "` is missing");
    std::vector<std::int64_t> expected;
    for (int axis = 0; axis < entry.shape.rank(); ++axis) expected.push_back(entry.shape[axis]);
    if (found->second->shape != expected)
      fail_input(where, "expected tensor `", entry.name, "` of shape ", shape_text(expected), ", got ",
                 shape_text(found->second->shape));
    const std::vector<float> values = read_floats(*found->second, where);
    std::copy(values.begin(), values.end(), parameters.view_of(all, static_cast<int>(index)).as<float>());
  }
  parameters.set(all);
  return trained;
}

}  // namespace amend
