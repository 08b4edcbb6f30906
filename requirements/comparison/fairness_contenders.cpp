#include "requirements/comparison/fairness_contenders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <type_traits>
#include <utility>

#include "metanet/graph/predict.hpp"
#include "requirements/baseline/group_thresholds.hpp"
#include "requirements/baseline/randomised_thresholds.hpp"
#include "requirements/baseline/retraining.hpp"
#include "requirements/baseline/reweighing.hpp"
#include "requirements/comparison/baseline_epochs.hpp"
#include "requirements/metric/expected_fairness.hpp"
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
  std::vector<Contender> each;
  for (const double power : reweighing_powers()) {
    FineTuning tuning{.target = FineTuningTarget::labels, .steps = data.steps(epochs)};
    for (const double w : weight) tuning.row_weight.push_back(std::pow(w, power));
    each.push_back(tuned_contender(
        data, "reweighing", fmt::format("reweighing, retrained for {}", epochs_text(epochs)), MethodKind::retrained,
        settings,
        [&data](const Networks& networks, std::size_t) {
          std::vector<std::vector<std::uint8_t>> uses;
          for (const SubjectNetwork* network : networks)
            uses.push_back(used_features(*network, data.dataset->features));
          return untrained_like(networks, *data.dataset, uses, data.config->seed);
        },
        tuning));
  }
  // Rows depend on the setting, all else is the same.
  Contender contender = each.front();
  contender.run = [each](const Referees& referees, std::size_t setting, double rate) {
    return each[setting].run(referees, setting, rate);
  };
  contenders.push_back(std::move(contender));
}

/// Weights of the gaps against the error of group thresholds, from none to much.
const std::vector<double>& gap_weights() {
  static const std::vector<double> weights{0.0, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.4, 1.0, 3.0};
  return weights;
}

/// Gaps that randomised thresholds leave, from wide to none.
const std::vector<double>& gap_slacks() {
  static const std::vector<double> slacks{0.15, 0.12, 0.09, 0.07, 0.05, 0.035, 0.02, 0.01, 0.005, 0.0};
  return slacks;
}

/// What network `index` answers with these thresholds; logits only where they are not drawn.
template <class Fitted>
Referee::Answers answers_of(const Referee& referee, std::size_t index, const Fitted& fitted) {
  const auto probability = selection_probabilities(referee.logits(index), referee.group(), {&fitted, 1});
  const ExpectedFairness expected =
      expected_fairness(probability, referee.rows().label, referee.group(), referee.group_names()).front();
  Referee::Answers answers{
      .accuracy = expected.accuracy, .gap = expected.equalised_odds_sum.value.value(), .logits = {}};
  if constexpr (std::is_same_v<Fitted, GroupThresholds>)
    answers.logits = shifted_logits(referee.logits(index), referee.group(), {&fitted, 1});
  return answers;
}

/// Thresholds fitted on editor_train and used on the referee's rows. `fit` takes logits on labelled rows and the
/// setting.
template <class Fit>
Contender threshold_contender(const ContenderData& data, std::string name, std::string title,
                              std::vector<std::string> settings, Fit fit) {
  Contender contender{.name = std::move(name),
                      .title = std::move(title),
                      .kind = MethodKind::attribute,
                      .settings = std::move(settings),
                      .learning_rates = {},
                      .towards_labels = false,
                      .run = {}};
  contender.run = [&data, fit](const Referees& referees, std::size_t setting, double) {
    const Networks& originals = referees.front()->originals();
    const Rows& rows = data.dataset->editor_train;
    const auto start = std::chrono::steady_clock::now();
    const auto group = group_ids(*data.dataset, rows, data.sensitive);
    const auto logits = predict_logits(originals, rows.input.data(), rows.count, data.dataset->inputs);
    const auto fitted = fit(GroupedLogits{.logits = logits,
                                          .label = rows.label,
                                          .group = group,
                                          .groups = static_cast<int>(referees.front()->group_names().size())},
                            setting);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::vector<ComparedPoint> points;
    for (const Referee* referee : referees) {
      points.push_back({.setting = {}, .seconds = seconds.count() / static_cast<double>(originals.size())});
      for (std::size_t n = 0; n < originals.size(); ++n)
        points.back().network.push_back(referee->measure(n, answers_of(*referee, n, fitted[n])));
    }
    return points;
  };
  return contender;
}

/// The one setting of every network.
template <class Fitted>
std::vector<Fitted> only_setting(std::vector<std::vector<Fitted>> all) {
  std::vector<Fitted> result;
  for (auto& fitted : all) result.push_back(std::move(fitted.front()));
  return result;
}

void add_thresholds(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders) {
  std::vector<std::string> settings;
  for (const double weight : gap_weights()) settings.push_back(fmt::format("gaps weigh {:g}", weight));
  if (wanted("group_thresholds"))
    contenders.push_back(
        threshold_contender(data, "group_thresholds", "thresholds per group", settings,
                            [](const GroupedLogits& logits, std::size_t setting) {
                              return only_setting(fit_group_thresholds(logits, {&gap_weights()[setting], 1}));
                            }));
  settings.clear();
  for (const double slack : gap_slacks()) settings.push_back(fmt::format("gaps of at most {:g}", slack));
  if (wanted("randomised_thresholds"))
    contenders.push_back(
        threshold_contender(data, "randomised_thresholds", "randomised thresholds per group", settings,
                            [](const GroupedLogits& logits, std::size_t setting) {
                              return only_setting(fit_randomised_thresholds(logits, {&gap_slacks()[setting], 1}));
                            }));
}

}  // namespace

void add_fairness_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders) {
  if (wanted("penalty") && !data.config->fine_tuning_epochs.empty()) {
    const auto& all = data.config->fine_tuning_epochs;
    for (const double epochs : all) add_penalty(data, epochs, FineTuningTarget::original, contenders);
    add_penalty(data, *std::max_element(all.begin(), all.end()), FineTuningTarget::labels, contenders);
  }
  if (wanted("reweighing")) add_reweighing(data, contenders);
  add_thresholds(data, wanted, contenders);
}

std::vector<std::string> fairness_baselines() {
  return {"penalty", "reweighing", "group_thresholds", "randomised_thresholds"};
}

}  // namespace amend
