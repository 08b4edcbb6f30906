#include "app/editor_summary.hpp"

#include <fmt/format.h>

namespace amend {

namespace {

/// Switches that are not as they are by default.
nlohmann::ordered_json turned_switches(const EditorConfig& config) {
  auto turned = nlohmann::ordered_json::object();
  if (!config.shape.input_embedding) turned["editor.input_embedding"] = false;
  if (!config.shape.probe_features) turned["editor.probe_features"] = false;
  if (config.shape.edits != Edits::both) turned["editor.edits"] = to_string(config.shape.edits);
  if (config.split_rows) turned["training.split_rows"] = true;
  if (config.scalarisation != Scalarisation::linear) turned["training.scalarisation"] = to_string(config.scalarisation);
  return turned;
}

std::string groups_text(const TrainedEditor& trained) {
  const std::string first = "the first sensitive attribute of a dataset";
  if (trained.config.sensitive.empty()) return "  groups: " + first + "\n";
  return fmt::format("  groups: {}{}\n", fmt::join(trained.config.sensitive, " & "),
                     trained.transfers() ? "; where there is none of these, " + first : "");
}

nlohmann::ordered_json dataset_json(const EditorDataset& dataset) {
  return {{"name", dataset.name}, {"description", dataset.source.string()}, {"fingerprint", dataset.fingerprint}};
}

}  // namespace

std::string editor_text(const TrainedEditor& trained) {
  const EditorShape& shape = trained.config.shape;
  std::string out = trained.transfers()
                        ? fmt::format("editor for networks on any dataset of {} classes, trained on\n  ", shape.outputs)
                        : "editor for networks on ";
  std::vector<std::string> datasets;
  for (const EditorDataset& dataset : trained.datasets)
    datasets.push_back(fmt::format("{} (fingerprint {}; described by {})\n", dataset.name,
                                   dataset.fingerprint.substr(0, 12), dataset.source.string()));
  out += fmt::format("{}", fmt::join(datasets, "  "));
  out += "  requirements, with the weights (lambda) of strengths 0 .. 1:\n";
  for (std::size_t r = 0; r < shape.requirements.size(); ++r)
    out += fmt::format("    {:<20}{:g} .. {:g}\n", shape.requirements[r], trained.config.lambda[r].low,
                       trained.config.lambda[r].high);
  if (trained.editor->reads_groups()) out += groups_text(trained);
  out += fmt::format("  {} parameters: {} message layers, {} passes, node width {}, edge width {}\n",
                     trained.editor->parameters().count(), shape.messages, shape.passes, shape.node_width,
                     shape.edge_width);
  const auto turned = turned_switches(trained.config);
  for (const auto& [key, value] : turned.items())
    out += fmt::format("  {}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  if (!trained.transfers())
    out += fmt::format(
        "  reads networks of {} inputs ({} features) and {} outputs;\n"
        "  `amend info {}` says how the columns of a table become these inputs\n",
        shape.inputs, shape.features, shape.outputs, trained.datasets.front().source.string());
  if (trained.provenance.contains("steps"))
    out += fmt::format("  trained for {} steps; best at step {}\n", trained.provenance["steps"].dump(),
                       trained.provenance.value("best_step", nlohmann::json()).dump());
  return out;
}

nlohmann::ordered_json editor_json(const TrainedEditor& trained) {
  const EditorShape& shape = trained.config.shape;
  auto requirements = nlohmann::ordered_json::object();
  for (std::size_t r = 0; r < shape.requirements.size(); ++r)
    requirements[shape.requirements[r]] = {{"lambda", {trained.config.lambda[r].low, trained.config.lambda[r].high}}};
  nlohmann::ordered_json json{{"kind", "editor"}};
  if (trained.transfers()) {
    for (const EditorDataset& dataset : trained.datasets) json["datasets"].push_back(dataset_json(dataset));
  } else {
    json["dataset"] = dataset_json(trained.datasets.front());
  }
  json.update({{"requirements", std::move(requirements)},
               {"sensitive", trained.config.sensitive},
               {"parameters", trained.editor->parameters().count()},
               {"messages", shape.messages},
               {"passes", shape.passes},
               {"node_width", shape.node_width},
               {"edge_width", shape.edge_width}});
  if (!trained.transfers()) json["inputs"] = shape.inputs;
  json["outputs"] = shape.outputs;
  json["switches"] = turned_switches(trained.config);
  if (!trained.transfers()) json["features"] = trained.feature_names;
  json["config"] = trained.config.text;
  json["provenance"] = trained.provenance;
  return json;
}

}  // namespace amend
