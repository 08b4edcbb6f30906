#include "requirements/comparison/comparison_config.hpp"

#include <algorithm>

#include "metanet/data/config.hpp"
#include "requirements/comparison/contender.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

std::filesystem::path under(const std::filesystem::path& folder, const std::string& path) {
  return std::filesystem::path(path).is_absolute() ? std::filesystem::path(path) : folder / path;
}

ComparisonTableConfig read_table(const Config& all, const std::string& requirement,
                                 const std::filesystem::path& folder) {
  const auto comparable = compared_requirements();
  if (std::find(comparable.begin(), comparable.end(), requirement) == comparable.end())
    all.fail_at(requirement,
                "there is no comparison for it; did you mean `" + nearest_name(requirement, comparable) + "`?");
  const Config config = all.child(requirement);
  config.allow_only({"editors", "probe_rows", "strengths", "budgets", "baselines"});
  ComparisonTableConfig table{
      .requirement = requirement, .editors = {}, .probe_rows = {}, .budgets = {}, .baselines = {}};
  const Config editors = config.child("editors");
  for (const std::string& title : editors.keys())
    table.editors.push_back({title, under(folder, editors.require<std::string>(title))});
  if (table.editors.empty())
    config.fail_at("editors", "expected at least one, for example `{editor: pruning.safetensors}`");
  table.probe_rows = config.list<std::int64_t>("probe_rows", {}, between(1, 1e6));
  table.strengths = config.get("strengths", table.strengths, between(2, 100));
  const bool shares = requirement == "pruning";
  table.budgets = config.list<double>("budgets", {}, shares ? between(0.0, 1.0) : between(0.0, 1e6));
  table.baselines = config.list<std::string>("baselines");
  const auto known = baseline_names(requirement);
  for (const std::string& name : table.baselines)
    if (name != "none" && std::find(known.begin(), known.end(), name) == known.end())
      config.fail_at("baselines", "unknown baseline `" + name + "`; did you mean `" + nearest_name(name, known) + "`?");
  return table;
}

JointConfig read_joint(const Config& config, const std::filesystem::path& folder) {
  config.allow_only({"combined", "sequence", "strengths"});
  JointConfig joint{.combined = {"combined editor", under(folder, config.require<std::string>("combined"))},
                    .sequence = {},
                    .strengths = {}};
  const Config sequence = config.child("sequence");
  for (const std::string& requirement : sequence.keys())
    joint.sequence.push_back({requirement, under(folder, sequence.require<std::string>(requirement))});
  if (joint.sequence.size() < 2) config.fail_at("sequence", "expected at least two requirements with an editor each");
  for (const Config& row : config.children("strengths")) {
    std::vector<double> strengths;
    for (const std::string& name : row.keys())
      if (!sequence.has(name)) row.fail_at(name, "expected a requirement of `sequence`");
    for (const ComparedEditor& editor : joint.sequence)
      strengths.push_back(row.get(editor.title, 0.0, between(0.0, 1.0)));
    joint.strengths.push_back(std::move(strengths));
  }
  if (joint.strengths.empty())
    config.fail_at("strengths", "expected a list, for example [{pruning: 0.5, equalised_odds: 0.5}]");
  return joint;
}

ComparisonConfig read(const Config& root, const std::filesystem::path& folder) {
  root.allow_only({"title", "population", "data", "networks", "seed", "requirements", "fine_tuning", "retraining",
                   "polish", "canonical", "shifts", "joint"});
  ComparisonConfig c;
  c.file = root.file();
  c.title = root.get("title", root.file().stem().string());
  c.population = under(folder, root.require<std::string>("population"));
  if (root.has("data")) c.data = under(root.file().parent_path(), root.require<std::string>("data"));
  c.networks = root.get("networks", c.networks, between(0, 1e6));
  c.seed = root.get("seed", c.seed);

  const Config requirements = root.child("requirements");
  for (const std::string& name : requirements.keys()) c.tables.push_back(read_table(requirements, name, folder));
  if (c.tables.empty() && !root.has("joint"))
    root.fail_at("requirements",
                 "expected at least one, for example `pruning: {editors: {editor: pruning.safetensors}}`");

  const Config tuning = root.child("fine_tuning");
  tuning.allow_only({"epochs", "rows", "learning_rates", "tuning_networks"});
  c.fine_tuning_epochs = tuning.list<double>("epochs", c.fine_tuning_epochs, above(0.0));
  c.fine_tuning_rows = tuning.get("rows", c.fine_tuning_rows, between(1, 65536));
  c.learning_rates = tuning.list<double>("learning_rates", c.learning_rates, above(0.0));
  if (c.learning_rates.empty()) tuning.fail_at("learning_rates", "expected at least one number > 0");
  c.tuning_networks = tuning.get("tuning_networks", c.tuning_networks, between(1, 65536));
  const Config retraining = root.child("retraining");
  retraining.allow_only({"epochs"});
  c.retraining_epochs = retraining.get("epochs", c.retraining_epochs, above(0.0));
  c.polish = root.list<std::int64_t>("polish", c.polish, between(1, 1e6));
  const Config canonical = root.child("canonical");
  canonical.allow_only({"candidates"});
  c.canonical_candidates = canonical.get("candidates", c.canonical_candidates, between(1, 65536));
  if (root.has("joint")) c.joint = read_joint(root.child("joint"), folder);
  for (const Config& shift : root.children("shifts")) {
    shift.allow_only({"name", "feature", "levels"});
    c.shifts.push_back(
        {shift.require<std::string>("name"), shift.require<std::string>("feature"), shift.list<std::string>("levels")});
    if (c.shifts.back().levels.empty()) shift.fail_at("levels", "expected at least one level of the feature");
  }
  return c;
}

}  // namespace

ComparisonConfig load_comparison_config(const std::filesystem::path& file, const std::filesystem::path& folder) {
  return read(Config::load(file), folder);
}

ComparisonConfig parse_comparison_config(const std::string& text, const std::string& name,
                                         const std::filesystem::path& folder) {
  return read(Config::parse(text, name), folder);
}

}  // namespace amend
