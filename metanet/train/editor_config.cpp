#include "metanet/train/editor_config.hpp"

#include <algorithm>
#include <cmath>

#include "metanet/data/config.hpp"

namespace amend {

double LambdaRange::at_strength(double strength) const {
  if (strength <= 0.0) return 0.0;
  return std::exp((1.0 - strength) * std::log(low) + strength * std::log(high));
}

kernels::Precision parse_precision(const std::string& name) {
  for (const auto precision : {kernels::Precision::float32, kernels::Precision::tf32, kernels::Precision::bf16})
    if (name == to_string(precision)) return precision;
  fail_input("precision", "expected float32, tf32 or bf16, got `", name, "`");
}

std::string to_string(Edits edits) {
  switch (edits) {
    case Edits::both: return "both";
    case Edits::mask: return "mask";
    case Edits::residual: return "residual";
  }
  fail("editor", "unknown edits");
}

namespace {

/// The member of `kinds` that the key names; the first by default.
template <class Kind>
Kind choice_of(const Config& config, const char* key, std::initializer_list<Kind> kinds) {
  std::vector<std::string> names;
  for (const Kind kind : kinds) names.push_back(to_string(kind));
  const std::string name = config.choice(key, names.front(), names);
  return *(kinds.begin() + (std::find(names.begin(), names.end(), name) - names.begin()));
}

kernels::GateKind gate_kind(const Config& config, const char* key) {
  return config.choice(key, "straight_through", {"straight_through", "hard_concrete"}) == "hard_concrete"
             ? kernels::GateKind::hard_concrete
             : kernels::GateKind::straight_through;
}

EditorConfig read_editor(const Config& root) {
  EditorConfig c;
  c.file = root.file();
  c.text = root.text();
  root.allow_only({"requirements", "sensitive", "editor", "gates", "training"});

  const Config requirements = root.child("requirements");
  c.shape.requirements = requirements.keys();
  if (c.shape.requirements.empty())
    root.fail_at("requirements", "expected at least one requirement, for example `pruning: {lambda: [0.002, 0.2]}`");
  for (const std::string& name : c.shape.requirements) {
    const Config requirement = requirements.child(name);
    requirement.allow_only({"lambda"});
    const auto range = requirement.get_range<double>("lambda", {0.0, 0.0}, between(kLeastLambda, kMostLambda));
    if (requirement.has("lambda") && range.low == range.high)
      requirement.fail_at("lambda", "expected two different numbers, [low, high]");
    c.lambda.push_back({range.low, range.high});
  }
  c.sensitive = root.list<std::string>("sensitive");

  const Config editor = root.child("editor");
  editor.allow_only({"node_width", "edge_width", "messages", "passes", "refine_width", "input_embedding",
                     "probe_features", "edits", "precision"});
  c.shape.node_width = editor.get("node_width", c.shape.node_width, between(4, 512));
  c.shape.edge_width = editor.get("edge_width", c.shape.edge_width, between(4, 512));
  c.shape.messages = editor.get("messages", c.shape.messages, between(0, 6));
  c.shape.passes = editor.get("passes", c.shape.passes, between(1, 3));
  c.shape.refine_width = editor.get("refine_width", c.shape.refine_width, between(4, 128));
  c.shape.input_embedding = editor.get("input_embedding", c.shape.input_embedding);
  c.shape.probe_features = editor.get("probe_features", c.shape.probe_features);
  c.shape.edits = choice_of(editor, "edits", {Edits::both, Edits::mask, Edits::residual});
  c.shape.precision = parse_precision(editor.choice("precision", "float32", kPrecisions));

  const Config gates = root.child("gates");
  gates.allow_only({"weight", "neuron", "feature", "temperature", "bound"});
  c.gates.weight = gate_kind(gates, "weight");
  c.gates.neuron = gate_kind(gates, "neuron");
  c.gates.feature = gate_kind(gates, "feature");
  c.gates.temperature = gates.get("temperature", c.gates.temperature, above(0.0));
  c.gates.bound = gates.get("bound", c.gates.bound, above(0.0));

  const Config t = root.child("training");
  t.allow_only({"seed",
                "steps",
                "networks",
                "batch",
                "rows",
                "cell_rows",
                "probe_rows",
                "probe_cell_rows",
                "edit_probe_rows",
                "edit_probe_cell_rows",
                "learning_rate",
                "final_learning_rate",
                "warmup",
                "weight_decay",
                "clip",
                "average",
                "deep_loss",
                "barrier",
                "balance",
                "off",
                "scalarisation",
                "split_rows",
                "validations",
                "validation_rows"});
  c.seed = t.get("seed", c.seed);
  c.steps = t.get("steps", c.steps, at_least(1));
  c.networks = t.get("networks", c.networks, at_least(0));
  c.batch = t.get("batch", c.batch, between(1, 65536));
  for (auto [key, value] :
       {std::pair{"rows", &c.rows}, std::pair{"cell_rows", &c.cell_rows}, std::pair{"probe_rows", &c.probe_rows},
        std::pair{"probe_cell_rows", &c.probe_cell_rows}, std::pair{"edit_probe_rows", &c.edit_probe_rows},
        std::pair{"edit_probe_cell_rows", &c.edit_probe_cell_rows}})
    *value = t.get(key, *value, between(2, 1e6));
  c.validation_rows = t.get("validation_rows", c.validation_rows, between(8, 1e6));  // a quarter of them per cell
  c.learning_rate = t.get("learning_rate", c.learning_rate, above(0.0));
  c.final_learning_rate = t.get("final_learning_rate", c.final_learning_rate, between(0.0, 1.0));
  c.warmup = t.get("warmup", c.warmup, at_least(0));
  c.weight_decay = t.get("weight_decay", c.weight_decay, at_least(0.0));
  c.clip = t.get("clip", c.clip, above(0.0));
  c.average = t.get("average", c.average, between(0.0, 0.99999));
  c.deep_loss = t.get("deep_loss", c.deep_loss, at_least(0.0));
  c.barrier = t.get("barrier", c.barrier, at_least(0.0));
  c.balance = t.get("balance", c.balance, between(0.0, 1.0));
  c.off = t.get("off", c.off, between(0.0, 0.9));
  c.split_rows = t.get("split_rows", c.split_rows);
  c.scalarisation = choice_of(t, "scalarisation", {Scalarisation::linear, Scalarisation::chebyshev});
  c.validations = t.get("validations", c.validations, between(1, 1000));
  return c;
}

}  // namespace

EditorConfig load_editor_config(const std::filesystem::path& file) { return read_editor(Config::load(file)); }

EditorConfig parse_editor_config(const std::string& text, const std::string& name) {
  return read_editor(Config::parse(text, name));
}

}  // namespace amend
