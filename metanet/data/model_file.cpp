#include "metanet/data/model_file.hpp"

#include <algorithm>
#include <cctype>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/error.hpp"
#include "metanet/data/config.hpp"
#include "metanet/data/json_reader.hpp"
#include "metanet/data/layer_order.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

constexpr char kOnlyPerceptrons[] =
    "only multi-layer perceptrons are supported: linear layers with a `weight` matrix and a `bias`";
constexpr char kLayersKey[] = "amend.layers";
constexpr char kActivationKey[] = "amend.activation";
constexpr std::string_view kOurKeys = "amend.", kBefore = "amend.before.";
constexpr std::size_t kMostLayers = 256;
constexpr std::int64_t kWidest = 1 << 24;

/// The tensors of one linear layer.
struct LayerTensors {
  std::string name;
  const SafetensorsTensor* weight = nullptr;  // (outputs, inputs)
  const SafetensorsTensor* bias = nullptr;    // (outputs)

  std::int64_t inputs() const { return weight->shape[1]; }
  std::int64_t outputs() const { return weight->shape[0]; }
};

/// What is said about a model besides its tensors.
struct Description {
  std::vector<std::string> layers;  // empty: not said
  std::string layers_where;
  std::optional<Activation> activation;
};

std::string tensor_name(const std::string& layer, const char* kind) {
  return layer.empty() ? kind : layer + '.' + kind;  // a lone linear layer has `weight` and `bias`
}

/// Splits `fc1.weight` into `fc1` and `weight`; false when it is not named as a part of a linear layer.
bool split_name(const std::string& tensor, std::string& layer, std::string& kind) {
  const std::size_t dot = tensor.rfind('.');
  layer = dot == std::string::npos ? "" : tensor.substr(0, dot);
  kind = dot == std::string::npos ? tensor : tensor.substr(dot + 1);
  return (kind == "weight" || kind == "bias") && dot != 0;
}

void check_shapes(const LayerTensors& layer, const std::string& file) {
  if (layer.weight == nullptr)
    fail_input(file + ": tensor " + in_quotes(layer.bias->name), "has no weight beside it; ", kOnlyPerceptrons);
  const std::string where = file + ": tensor " + in_quotes(layer.weight->name);
  const std::vector<std::int64_t>& shape = layer.weight->shape;
  if (shape.size() != 2)
    fail_input(where, "expected a matrix (outputs, inputs), got shape ", shape_text(shape), "; ", kOnlyPerceptrons);
  if (std::min(shape[0], shape[1]) < 1 || std::max(shape[0], shape[1]) > kWidest)
    fail_input(where, "expected widths from 1 to ", kWidest, ", got shape ", shape_text(shape));
  if (layer.bias == nullptr)
    fail_input(where,
               "has no bias beside it; each layer needs one, because an edit folds what it removes into the bias. ",
               "Add a tensor ", in_quotes(tensor_name(layer.name, "bias")), " of ", shape[0], " zeros");
  if (layer.bias->shape != std::vector<std::int64_t>{shape[0]})
    fail_input(file + ": tensor " + in_quotes(layer.bias->name), "expected shape [", shape[0], "] beside a weight of ",
               shape_text(shape), ", got ", shape_text(layer.bias->shape));
}

/// Layers in the order in which the file first names them.
std::vector<LayerTensors> collect_layers(const SafetensorsFile& contents, const std::string& file) {
  std::vector<LayerTensors> layers;
  std::unordered_map<std::string, std::size_t> index_of;
  for (const SafetensorsTensor& tensor : contents.tensors) {
    std::string name, kind;
    if (!split_name(tensor.name, name, kind))
      fail_input(file + ": tensor " + in_quotes(tensor.name), "is not part of a linear layer; ", kOnlyPerceptrons);
    const auto [found, added] = index_of.emplace(name, layers.size());
    if (added) layers.push_back({name});
    (kind == "weight" ? layers[found->second].weight : layers[found->second].bias) = &tensor;
  }
  if (layers.empty()) fail_input(file, "has no tensors; ", kOnlyPerceptrons);
  if (layers.size() > kMostLayers) fail_input(file, "expected at most ", kMostLayers, " layers, got ", layers.size());
  for (const LayerTensors& layer : layers) check_shapes(layer, file);
  return layers;
}

/// The lines that a description of these layers would have.
std::string example(const fs::path& file, const std::vector<LayerTensors>& layers) {
  std::string names;
  for (const LayerTensors& layer : layers) {
    const bool plain =
        !layer.name.empty() && std::all_of(layer.name.begin(), layer.name.end(), [](unsigned char letter) {
          return std::isalnum(letter) != 0 || letter == '_' || letter == '.';
        });
    names += (names.empty() ? "" : ", ") + (plain ? layer.name : in_quotes(layer.name));
  }
  return "Write " + description_beside(file).string() + ", for example\n  layers: [" + names +
         "]  # from inputs to outputs\n  activation: relu  # relu, tanh, silu or sigmoid";
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::size_t first = std::min(text.find_first_not_of(' ', begin), end);
    const std::size_t last = end == first ? first : text.find_last_not_of(' ', end - 1) + 1;
    items.push_back(text.substr(first, last - first));
    begin = end + 1;
  }
  return items;
}

Description describe(const fs::path& file, const SafetensorsFile& contents, std::optional<fs::path> yaml,
                     std::optional<Activation> activation) {
  Description description;
  std::error_code error;
  if (!yaml && fs::exists(description_beside(file), error)) yaml = description_beside(file);
  if (yaml) {
    const Config config = Config::load(*yaml);
    config.allow_only({"layers", "activation"});
    description.layers = config.list<std::string>("layers");
    description.layers_where = config.where("layers");
    if (config.has("activation"))
      description.activation = parse_activation(config.require<std::string>("activation"), config.where("activation"));
  }
  const std::string metadata_where = file.string() + ": metadata ";
  const auto& metadata = contents.metadata;
  if (const auto layers = metadata.find(kLayersKey); layers != metadata.end() && description.layers.empty()) {
    description.layers = split_list(layers->second);
    description.layers_where = metadata_where + kLayersKey;
  }
  if (const auto name = metadata.find(kActivationKey); name != metadata.end() && !description.activation)
    description.activation = parse_activation(name->second, metadata_where + kActivationKey);
  if (activation) description.activation = activation;
  return description;
}

std::vector<LayerTensors> listed_order(const std::vector<LayerTensors>& layers, const Description& description,
                                       const std::string& file) {
  std::vector<LayerTensors> ordered;
  std::vector<std::string> missing;
  for (const LayerTensors& layer : layers) missing.push_back(layer.name);
  for (const std::string& name : description.layers) {
    const auto found = std::find(missing.begin(), missing.end(), name);
    if (found == missing.end())
      fail_input(description.layers_where, "expected each layer of ", file, " once, got ", in_quotes(name),
                 missing.empty() ? "" : "; not yet listed: " + in_quotes(missing.front()));
    missing.erase(found);
    ordered.push_back(
        *std::find_if(layers.begin(), layers.end(), [&](const auto& layer) { return layer.name == name; }));
  }
  if (!missing.empty())
    fail_input(description.layers_where, "expected every layer of ", file, ", ", in_quotes(missing.front()),
               " is missing");
  for (std::size_t i = 1; i < ordered.size(); ++i)
    if (ordered[i].inputs() != ordered[i - 1].outputs())
      fail_input(description.layers_where, "layer ", in_quotes(ordered[i].name), " has ", ordered[i].inputs(),
                 " inputs, but ", in_quotes(ordered[i - 1].name), " before it has ", ordered[i - 1].outputs(),
                 " outputs");
  return ordered;
}

std::vector<LayerTensors> inferred_order(const std::vector<LayerTensors>& layers, const fs::path& file) {
  std::vector<NamedLayer> named;
  for (const LayerTensors& layer : layers) named.push_back({layer.name, layer.inputs(), layer.outputs()});
  const std::vector<std::vector<std::size_t>> orders = possible_layer_orders(named);
  if (orders.empty())
    fail_input(file.string(),
               "the order of its layers is not known: in no order that respects the numbers in their names "
               "are the outputs of each layer the inputs of the next. ",
               example(file, layers));
  if (orders.size() > 1)
    fail_input(file.string(), "the order of its layers is ambiguous: names and shapes permit several. ",
               example(file, layers));
  std::vector<LayerTensors> ordered;
  for (const std::size_t index : orders.front()) ordered.push_back(layers[index]);
  return ordered;
}

/// Moves what an earlier edit left, from `amend.x` to `amend.before.x`; what describes the model stays.
void keep_earlier_edit(std::map<std::string, std::string>& metadata) {
  std::map<std::string, std::string> result;
  for (auto& [key, value] : metadata) {
    const bool of_edit = key.starts_with(kOurKeys) && key != kLayersKey && key != kActivationKey;
    result.emplace(of_edit ? std::string(kBefore) + key.substr(kOurKeys.size()) : key, std::move(value));
  }
  metadata = std::move(result);
}

void append_floats(const SafetensorsTensor& tensor, const std::string& file, std::vector<float>& values) {
  const std::vector<float> numbers = read_floats(tensor, file);
  values.insert(values.end(), numbers.begin(), numbers.end());
}

}  // namespace

fs::path description_beside(fs::path file) { return file.replace_extension(".yaml"); }

ModelFile load_model_file(const fs::path& file, const std::optional<fs::path>& description_file,
                          std::optional<Activation> activation) {
  ModelFile model;
  model.original = load_safetensors(file);
  const std::string where = file.string();
  const std::vector<LayerTensors> layers = collect_layers(model.original, where);
  const Description description = describe(file, model.original, description_file, activation);
  const std::vector<LayerTensors> ordered =
      description.layers.empty() ? inferred_order(layers, file) : listed_order(layers, description, where);
  if (ordered.back().outputs() == 1)
    fail_input(
        where + ": tensor " + in_quotes(ordered.back().weight->name),
        "a model with one output is not supported: expected one logit per class. A binary classifier with one "
        "output z equals one with the two outputs [0, z]: put a row of zeros above this weight and a zero before "
        "its bias");
  if (!description.activation)
    fail_input(where, "the activation between its layers is not known. ", example(file, ordered));

  SubjectNetwork& network = model.network;
  network.name = network.run = file.stem().string();
  network.activation = *description.activation;
  network.widths.push_back(static_cast<int>(ordered.front().inputs()));
  for (const LayerTensors& layer : ordered) {
    network.widths.push_back(static_cast<int>(layer.outputs()));
    append_floats(*layer.weight, where, network.weights);
    append_floats(*layer.bias, where, network.biases);
    model.layer_names.push_back(layer.name);
  }
  return model;
}

void save_model_file(const fs::path& file, const ModelFile& original, const SubjectNetwork& edited,
                     const std::map<std::string, std::string>& metadata) {
  constexpr char kOperation[] = "save_model_file";
  check(edited.widths == original.network.widths && edited.activation == original.network.activation, kOperation,
        "expected the widths and activation of the original");
  validate(edited, file.string());
  SafetensorsFile output = original.original;
  std::unordered_map<std::string_view, SafetensorsTensor*> tensors;
  for (SafetensorsTensor& tensor : output.tensors) tensors.emplace(tensor.name, &tensor);
  std::string names;
  bool listable = true;
  for (int layer = 0; layer < edited.layers(); ++layer) {
    const std::string& name = original.layer_names[static_cast<std::size_t>(layer)];
    const auto outputs = static_cast<std::size_t>(edited.widths[layer + 1]);
    const std::size_t weights = outputs * static_cast<std::size_t>(edited.widths[layer]);
    write_floats(*tensors.at(tensor_name(name, "weight")),
                 {edited.weights.data() + edited.weight_offset(layer), weights}, file.string());
    write_floats(*tensors.at(tensor_name(name, "bias")), {edited.biases.data() + edited.bias_offset(layer), outputs},
                 file.string());
    names += (layer > 0 ? "," : "") + name;
    listable = listable && name.find(',') == std::string::npos && split_list(name).front() == name;
  }
  if (!metadata.empty()) keep_earlier_edit(output.metadata);
  // A name that a comma-separated list cannot hold leaves the order to what it was read with.
  if (listable) output.metadata[kLayersKey] = names;
  output.metadata[kActivationKey] = to_string(edited.activation);
  for (const auto& [key, value] : metadata) {
    check(key.starts_with(kOurKeys), kOperation, "expected metadata keys that begin with amend., got ", in_quotes(key));
    output.metadata[key] = value;
  }
  save_safetensors(file, output);
}

}  // namespace amend
