#include "requirements/comparison/fairness_contenders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "metanet/graph/predict.hpp"
#include "requirements/baseline/retraining.hpp"
#include "requirements/baseline/reweighing.hpp"
#include "requirements/comparison/baseline_epochs.hpp"
#include "requirements/metric/feature_use.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

/// How far reweighing goes: weights to this power. 1 is the method as published.
const std::vector<double>& reweighing_powers() {
  static const std::vector<double> powers{0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0};
  return powers;
}

/// Lambdas of the penalty, from a hundredth to ten: wider than an editor is trained for.
std::vector<double> penalties(int count) {
  std::vector<double> lambda;
  for (int i = 0; i < count; ++i) lambda.push_back(std::pow(10.0, -2.0 + 3.0 * i / (count - 1)));
  return lambda;
}

void add_penalty(const ContenderData& data, double epochs, FineTuningTarget target,
                 std::vector<Contender>& contenders) {
  const std::vector<double> lambda = penalties(data.table->strengths);
  std::vector<std::string> settings;
  for (const double value : lambda) settings.push_back(fmt::format("lambda {:.3g}", value));
  const bool labels = target == FineTuningTarget::labels;
  contenders.push_back(tuned_contender(
      data, fmt::format("penalty_{:g}_epochs{}", epochs, labels ? "_labels" : ""),
      fmt::format("fine-tuning with the penalty, {}{}", epochs_text(epochs), labels ? " on labels" : ""),
      MethodKind::fine_tuned, settings,
      [](const Networks& networks, std::size_t) {
        std::vector<SubjectNetwork> copies;
        for (const SubjectNetwork* network : networks) copies.push_back(*network);
        return copies;
      },
      {.target = target,
       .steps = data.steps(epochs),
       .requirements = make_requirements({"equalised_odds"}, "comparison"),
       .sensitive = data.sensitive},
      lambda));
}

void add_reweighing(const ContenderData& data, std::vector<Contender>& contenders) {
  const Rows& rows = data.dataset->editor_train;
  const auto group = group_ids(*data.dataset, rows, data.sensitive);
  const auto groups = static_cast<int>(group_names(*data.dataset, data.sensitive).size());
  const std::vector<double> weight = reweighing_weights(rows.label, group, data.dataset->classes, groups);
  const double epochs = data.config->retraining_epochs;
  std::vector<std::string> settings;
  for (const double power : reweighing_powers()) settings.push_back(fmt::format("weights to the power {:g}", power));
  // One contender whose rows depend on the setting.
  Contender contender = tuned_contender(
      data, "reweighing", fmt::format("reweighing, retrained for {}", epochs_text(epochs)), MethodKind::retrained,
      settings, {}, {.target = FineTuningTarget::labels, .steps = data.steps(epochs)});
  std::vector<Contender> each;
  for (const double power : reweighing_powers()) {
    FineTuning tuning{.target = FineTuningTarget::labels, .steps = data.steps(epochs)};
    for (const double w : weight) tuning.row_weight.push_back(std::pow(w, power));
    each.push_back(tuned_contender(
        data, contender.name, contender.title, contender.kind, settings,
        [&data](const Networks& networks, std::size_t) {
          std::vector<std::vector<std::uint8_t>> uses;
          for (const SubjectNetwork* network : networks)
            uses.push_back(used_features(*network, data.dataset->features));
          return untrained_like(networks, *data.dataset, uses, data.config->seed);
        },
        tuning));
  }
  contender.run = [each](const Referee& referee, std::size_t setting, double rate) {
    return each[setting].run(referee, setting, rate);
  };
  contenders.push_back(std::move(contender));
}

}  // namespace

void add_fairness_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders) {
  if (wanted("penalty") && !data.config->fine_tuning_epochs.empty()) {
    const auto& all = data.config->fine_tuning_epochs;
    for (const double epochs : all) add_penalty(data, epochs, FineTuningTarget::original, contenders);
    add_penalty(data, *std::max_element(all.begin(), all.end()), FineTuningTarget::labels, contenders);
  }
  if (wanted("reweighing")) add_reweighing(data, contenders);
}

std::vector<std::string> fairness_baselines() { return {"penalty", "reweighing"}; }

}  // namespace amend
