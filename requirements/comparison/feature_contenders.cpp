#include "requirements/comparison/feature_contenders.hpp"

#include <fmt/format.h>

#include <cmath>

#include "metanet/graph/predict.hpp"
#include "requirements/baseline/feature_selection.hpp"
#include "requirements/baseline/network_probe.hpp"
#include "requirements/baseline/retraining.hpp"
#include "requirements/comparison/baseline_epochs.hpp"
#include "requirements/comparison/budgets.hpp"

namespace amend {
namespace {

struct Selection {
  const char* name;
  const char* title;
  FeatureScore score;
  bool fold;
};

const std::vector<Selection>& selections() {
  static const std::vector<Selection> list{
      {"norm", "column norm, zeroed", FeatureScore::norm, false},
      {"mean_ablation_fold", "mean ablation + fold", FeatureScore::divergence, true},
      {"permutation_fold", "permutation importance + fold", FeatureScore::permutation, true},
  };
  return list;
}

/// Marks of the features that every network keeps. Scored anew for every budget: whoever asks for one pays for it.
std::vector<std::vector<std::uint8_t>> selected(const ContenderData& data, const Networks& networks, FeatureScore score,
                                                std::int64_t kept) {
  const std::vector<std::int32_t> label = spread_labels(data.dataset->editor_train);
  return select_features(feature_scores(networks, data.probe_rows, data.dataset->features, score, {.label = label}),
                         kept);
}

}  // namespace

void add_feature_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders) {
  std::vector<std::int64_t> budgets;
  for (const double kept : budgets_of(data)) budgets.push_back(std::llround(kept));
  const std::vector<std::string> settings = budget_settings(data);
  for (const Selection& selection : selections()) {
    const NetworkMethod select = [&data, budgets, selection](const Networks& networks, std::size_t setting) {
      const auto marks = selected(data, networks, selection.score, budgets[setting]);
      std::vector<double> mean;
      if (selection.fold) mean = column_means(data.probe_rows, data.dataset->inputs);
      return remove_features(networks, data.dataset->features, marks, mean);
    };
    if (wanted(selection.name))
      contenders.push_back(network_contender(selection.name, selection.title, MethodKind::one_shot, settings, select));
    if (selection.fold) add_with_epochs(data, wanted, selection.name, selection.title, settings, select, contenders);
  }
  const double epochs = data.config->retraining_epochs;
  const NetworkMethod fresh = [&data, budgets](const Networks& networks, std::size_t setting) {
    return untrained_like(networks, *data.dataset, selected(data, networks, FeatureScore::divergence, budgets[setting]),
                          data.config->seed);
  };
  for (const auto target : {FineTuningTarget::labels, FineTuningTarget::original}) {
    const bool labels = target == FineTuningTarget::labels;
    const std::string name = labels ? "retrained" : "distilled";
    if (!wanted(name)) continue;
    contenders.push_back(tuned_contender(
        data, name,
        fmt::format("mean ablation, {} for {}", labels ? "retrained" : "distilled anew", epochs_text(epochs)),
        MethodKind::retrained, settings, fresh, {.target = target, .steps = data.steps(epochs)}));
  }
}

std::vector<std::string> feature_baselines() {
  std::vector<std::string> names;
  for (const Selection& selection : selections()) {
    names.push_back(selection.name);
    if (selection.fold) names.push_back(std::string(selection.name) + "_tuned");
  }
  names.insert(names.end(), {"retrained", "distilled"});
  return names;
}

}  // namespace amend
