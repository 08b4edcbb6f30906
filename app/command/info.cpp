#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/command/commands.hpp"
#include "app/dataset_summary.hpp"
#include "app/editor_summary.hpp"
#include "app/inputs.hpp"
#include "app/population_summary.hpp"
#include "engine/error.hpp"
#include "metanet/data/safetensors.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kInfoFooter[] =
    R"(Of a dataset description it says how the columns become the inputs of a network; --json says it to the last digit.

Examples:
  amend info synthetic-networks
  amend info configs/data/adult.yaml --verbose
  amend info editor.safetensors --json
  amend info model.safetensors)";

struct InfoCommand {
  std::string file;
  ModelDescription model;
  bool verbose = false, json = false;
};

/// A model file as far as it can be read: without an activation there is no network, but there are tensors. A model
/// that the user has described must be what he says.
struct ModelView {
  SafetensorsFile contents;
  std::optional<ModelFile> model;
  std::string problem;  // why there is no network
};

ModelView view_model(const InfoCommand& options) {
  ModelView view{.contents = load_safetensors(options.file)};
  try {
    view.model = load_model(options.file, options.model);
  } catch (const InputError& error) {
    if (!options.model.file.empty() || !options.model.activation.empty()) throw;
    view.problem = error.what();
  }
  return view;
}

Json model_json(const ModelView& view) {
  Json tensors = Json::array();
  for (const SafetensorsTensor& tensor : view.contents.tensors)
    tensors.push_back({{"name", tensor.name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}});
  Json json{{"kind", "model"}, {"tensors", std::move(tensors)}, {"metadata", view.contents.metadata}};
  if (view.model) {
    json["layers"] = view.model->layer_names;
    json["widths"] = view.model->network.widths;
    json["activation"] = to_string(view.model->network.activation);
    json["weights"] = view.model->network.weight_count();
    json["nonzero_share"] = nonzero_share(view.model->network);
  } else {
    json["problem"] = view.problem;
  }
  return json;
}

std::string model_text(const ModelView& view) {
  std::string out;
  if (view.model) {
    const SubjectNetwork& network = view.model->network;
    out += fmt::format("model {} with {}: {} weights, {:.1f}% of them not zero\n", widths_text(network),
                       to_string(network.activation), network.weight_count(), 100.0 * nonzero_share(network));
    out += fmt::format("  layers: {}\n", fmt::join(view.model->layer_names, ", "));
  } else {
    out += "safetensors file that cannot be edited as it is: " + view.problem + "\n";
  }
  for (const SafetensorsTensor& tensor : view.contents.tensors)
    out += fmt::format("  {:<32}{:<6}{}\n", tensor.name, tensor.dtype, shape_text(tensor.shape));
  for (const auto& [key, value] : view.contents.metadata)
    out += fmt::format("  {}: {}\n", key, value.size() > 200 ? value.substr(0, 200) + "..." : value);
  return out;
}

std::string metadata_or(const SafetensorsFile& contents, const char* key, const char* otherwise) {
  const auto found = contents.metadata.find(key);
  return found == contents.metadata.end() ? otherwise : found->second;
}

int info(const InfoCommand& options, const Session& session) {
  if (!options.model.activation.empty()) parse_activation(options.model.activation, "--activation");
  const auto show = [&](const Json& json, const std::string& text) {
    if (options.json)
      session.print(json);
    else
      session.out << text;
    return 0;
  };
  const std::string extension = std::filesystem::path(options.file).extension();
  if (extension == ".yaml" || extension == ".yml") {
    const EncodedDataset encoded = load_encoded_dataset(options.file);
    return show(dataset_json(encoded), dataset_text(encoded, options.verbose));
  }
  const bool checkpoint = extension == ".checkpoint";
  if (!checkpoint && kind_of(options.file) == InputKind::population) {
    const Population population = load_population(options.file);
    return show(population_json(population), population_text(population));
  }
  const SafetensorsFile contents = load_safetensors(options.file);
  if (contents.metadata.contains("amend.checkpoint")) {
    const std::string step = metadata_or(contents, "step", "?");
    return show(
        {{"kind", "checkpoint"}, {"step", step}, {"config", metadata_or(contents, "config", "")}},
        "checkpoint of an editor's training at step " + step + "; `amend editor train ... --resume` continues\n");
  }
  if (contents.metadata.contains("amend.editor")) {
    const TrainedEditor editor = load_editor(options.file, make_requirements, Device::cpu());
    Json json = editor_json(editor);
    json["sha256"] = file_checksum(options.file);
    return show(json, editor_text(editor));
  }
  const ModelView view = view_model(options);
  return show(model_json(view), model_text(view));
}

}  // namespace

void add_info_command(CLI::App& app, Session& session) {
  CLI::App& command = *app.add_subcommand("info", "Say what is in a population, an editor, a model or a dataset");
  command.footer(kInfoFooter);
  auto options = std::make_shared<InfoCommand>();
  command
      .add_option("FILE", options->file,
                  "Population folder, editor file, checkpoint, .safetensors model or dataset description (.yaml)")
      ->required();
  command.add_option("--model", options->model.file, "YAML with `layers` and `activation` of a model");
  command.add_option("--activation", options->model.activation, "Of a model: relu, tanh, silu or sigmoid");
  command.add_flag("--verbose", options->verbose, "Of a dataset: all levels of every column");
  command.add_flag("--json", options->json, "Print it as JSON");
  command.callback([options, &session] { session.action = [options, &session] { return info(*options, session); }; });
}

}  // namespace amend
