#include "metanet/train/budgeted_edit.hpp"

#include <algorithm>

#include "engine/error.hpp"

namespace amend {
namespace {

constexpr int kBatch = 64;
/// Strength 0 is off; this is next to it.
constexpr double kMildest = 1e-9;

bool has_gates(EditGates gates) { return gates.weights || gates.neurons || gates.features; }

/// A few features: the budget itself puts right where a network lies off the average curve, and a trial gained nothing
/// on any dataset. Of weights it gained .005 of hypervolume (docs/results.md).
bool needs_trial(EditGates gates) { return gates.weights || gates.neurons; }

}  // namespace

double kept_by(EditGates gates, const EditResult& edit) {
  if (gates.weights) return edit.nonzero_share;
  if (gates.neurons) return edit.neuron_share;
  return static_cast<double>(edit.features.size());
}

void expect_budget(const TrainedEditor& trained, std::size_t requirement, const std::string& where) {
  const std::string& name = trained.config.shape.requirements[requirement];
  if (!has_gates(trained.editor->requirements()[requirement]->gates()))
    fail_input(where, "`", name, "` has no budget: there is nothing to count; give a strength instead");
  if (trained.transfers())
    fail_input(where, "`", name,
               "`: an editor that transfers does not know how much it keeps of other data's networks; "
               "give a strength instead");
  if (requirement >= trained.kept.size() || !trained.kept[requirement].known())
    fail_input(where, "`", name, "`: the editor file does not say how much is kept at which strength; train it anew");
}

std::vector<EditResult> edit_to_budget(BatchEditor& editor, const TrainedEditor& trained,
                                       std::span<const SubjectNetwork* const> networks, std::span<const double> lambda,
                                       std::span<const double> budget) {
  const std::size_t requirements = trained.config.lambda.size();
  check(budget.size() == networks.size() * requirements && lambda.size() == budget.size(), "edit_to_budget",
        "expected ", networks.size() * requirements, " weights and budgets, got ", lambda.size(), " and ",
        budget.size());
  std::vector<double> weight(lambda.begin(), lambda.end()), strength(budget.size(), 0.0);
  const auto set = [&](std::size_t i, double value) {
    strength[i] = std::clamp(value, kMildest, 1.0);
    weight[i] = trained.config.lambda[i % requirements].at_strength(strength[i]);
  };
  bool any = false, by_trial = false;
  for (std::size_t i = 0; i < budget.size(); ++i) {
    if (budget[i] < 0.0) continue;
    expect_budget(trained, i % requirements, "budget");
    set(i, trained.kept[i % requirements].strength_for(budget[i]));
    any = true;
    by_trial |= needs_trial(trained.editor->requirements()[i % requirements]->gates());
  }
  if (!any) return editor.edit(networks, weight);
  if (!by_trial) return editor.edit(networks, weight, budget);
  const std::vector<EditResult> trial = editor.edit(networks, weight);
  for (std::size_t i = 0; i < budget.size(); ++i) {
    if (budget[i] < 0.0) continue;
    const std::size_t r = i % requirements;
    const EditGates gates = trained.editor->requirements()[r]->gates();
    if (!needs_trial(gates)) continue;
    const double kept = kept_by(gates, trial[i / requirements]);
    const KeptCurve& curve = trained.kept[r];
    set(i, strength[i] + curve.strength_for(budget[i]) - curve.strength_for(kept));
  }
  return editor.edit(networks, weight, budget);
}

std::vector<KeptCurve> measure_kept(TrainedEditor& trained, const Dataset& dataset,
                                    std::span<const SubjectNetwork* const> networks) {
  const std::size_t requirements = trained.config.lambda.size();
  std::vector<KeptCurve> curves(requirements);
  BatchEditor editor(trained, dataset);
  for (std::size_t r = 0; r < requirements; ++r) {
    const EditGates gates = trained.editor->requirements()[r]->gates();
    for (int s = 0; s < kKeptStrengths && has_gates(gates); ++s) {
      const double strength = static_cast<double>(s) / (kKeptStrengths - 1);
      std::vector<double> lambda(networks.size() * requirements, 0.0);
      for (std::size_t n = 0; n < networks.size(); ++n)
        lambda[n * requirements + r] = trained.config.lambda[r].at_strength(std::max(strength, kMildest));
      double sum = 0.0;
      for (const EditResult& edit : editor.edit_all(networks, lambda, kBatch)) sum += kept_by(gates, edit);
      curves[r].kept.push_back(sum / static_cast<double>(networks.size()));
    }
  }
  return curves;
}

}  // namespace amend
