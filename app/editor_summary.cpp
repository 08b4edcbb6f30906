#include "app/editor_summary.hpp"

#include <fmt/format.h>

namespace amend {

namespace {

/// Switches that are not as they are by default.
nlohmann::ordered_json turned_switches(const EditorConfig& config) {
  auto turned = nlohmann::ordered_json::object();
  if (!config.shape.probe_features) turned["editor.probe_features"] = false;
  if (config.shape.edits != Edits::both) turned["editor.edits"] = to_string(config.shape.edits);
  if (config.scalarisation != Scalarisation::linear) turned["training.scalarisation"] = to_string(config.scalarisation);
  return turned;
}

}  // namespace

std::string editor_text(const TrainedEditor& trained) {
  const EditorShape& shape = trained.config.shape;
  const std::string source = trained.dataset_source.string();
  std::string out = fmt::format("editor for networks on {} (fingerprint {}; described by {})\n", trained.dataset_name,
                                trained.dataset_fingerprint.substr(0, 12), source);
  out += "  requirements, with the weights (lambda) of strengths 0 .. 1:\n";
  for (std::size_t r = 0; r < shape.requirements.size(); ++r)
    out += fmt::format("    {:<20}{:g} .. {:g}\n", shape.requirements[r], trained.config.lambda[r].low,
                       trained.config.lambda[r].high);
  if (trained.editor->reads_groups()) out += fmt::format("  groups: {}\n", fmt::join(trained.config.sensitive, " & "));
  out += fmt::format("  {} parameters: {} message layers, {} passes, node width {}, edge width {}\n",
                     trained.editor->parameters().count(), shape.messages, shape.passes, shape.node_width,
                     shape.edge_width);
  const auto turned = turned_switches(trained.config);
  for (const auto& [key, value] : turned.items())
    out += fmt::format("  {}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  out += fmt::format("  reads networks of {} inputs ({} features) and {} outputs;\n", shape.inputs, shape.features,
                     shape.outputs);
  out += fmt::format("  `amend info {}` says how the columns of a table become these inputs\n", source);
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
  return {{"kind", "editor"},
          {"dataset",
           {{"name", trained.dataset_name},
            {"description", trained.dataset_source.string()},
            {"fingerprint", trained.dataset_fingerprint}}},
          {"requirements", std::move(requirements)},
          {"sensitive", trained.config.sensitive},
          {"parameters", trained.editor->parameters().count()},
          {"messages", shape.messages},
          {"passes", shape.passes},
          {"node_width", shape.node_width},
          {"edge_width", shape.edge_width},
          {"inputs", shape.inputs},
          {"outputs", shape.outputs},
          {"switches", turned_switches(trained.config)},
          {"features", trained.feature_names},
          {"config", trained.config.text},
          {"provenance", trained.provenance}};
}

}  // namespace amend
