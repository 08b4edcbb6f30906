#include "requirements/comparison/feature_contenders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "metanet/graph/predict.hpp"
#include "requirements/baseline/feature_selection.hpp"
#include "requirements/baseline/network_probe.hpp"
#include "requirements/baseline/retraining.hpp"
#include "requirements/comparison/baseline_epochs.hpp"

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

/// Every number of features down to none; of many only twelve, evenly in their logarithm, and none.
std::vector<std::int64_t> default_budgets(std::size_t features) {
  std::vector<std::int64_t> kept;
  constexpr int kMost = 12;
  for (auto count = static_cast<std::int64_t>(features) - 1; count >= 0 && features <= kMost + 4; --count)
    kept.push_back(count);
  for (int i = 1; i <= kMost && features > kMost + 4; ++i) {
    const auto count = std::llround(std::pow(static_cast<double>(features), 1.0 - static_cast<double>(i) / kMost));
    if (kept.empty() || count < kept.back()) kept.push_back(count);
  }
  if (kept.empty() || kept.back() > 0) kept.push_back(0);
  return kept;
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
  for (const double kept : data.table->budgets)
    budgets.push_back(std::min(std::llround(kept), static_cast<long long>(data.dataset->features.size())));
  if (budgets.empty()) budgets = default_budgets(data.dataset->features.size());
  std::vector<std::string> settings;
  for (const std::int64_t kept : budgets) settings.push_back(fmt::format("{} features", kept));
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
