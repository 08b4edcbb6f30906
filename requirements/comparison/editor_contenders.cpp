#include "requirements/comparison/editor_contenders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "metanet/graph/predict.hpp"
#include "requirements/baseline/canonical.hpp"
#include "requirements/comparison/budgets.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

double mean_requirement(const std::vector<ComparedNetwork>& networks) {
  double sum = 0.0;
  for (const ComparedNetwork& network : networks) sum += network.requirement;
  return sum / static_cast<double>(networks.size());
}

/// The best stand-in for all originals among edits of training networks that keep, each of itself, no more of the
/// requirement than the own edits do on average (or the one that keeps least).
std::vector<ComparedPoint> replace_by_canonical(const ContenderData& data, const EditorContender& editor,
                                                const Referees& referees, std::size_t setting) {
  const Networks& originals = referees.front()->originals();
  const auto start = std::chrono::steady_clock::now();
  const std::vector<SubjectNetwork> own = editor.edit(originals, setting),
                                    candidates = editor.edit(data.training_networks, setting);
  // Gaps on the rows of the editors, since validation may have too few for them; weights and features are the same on
  // any.
  const Referee own_referee(*data.dataset, data.dataset->editor_train, originals, data.table->requirement,
                            data.sensitive),
      candidate_referee(*data.dataset, data.dataset->editor_train, data.training_networks, data.table->requirement,
                        data.sensitive);
  const double budget = mean_requirement(own_referee.measure(pointers_to(own)));
  const auto kept = candidate_referee.measure(pointers_to(candidates));
  Networks fitting;
  for (std::size_t n = 0; n < candidates.size(); ++n)
    if (kept[n].requirement <= budget) fitting.push_back(&candidates[n]);
  if (fitting.empty()) {
    const auto least = std::min_element(kept.begin(), kept.end(),
                                        [](const auto& a, const auto& b) { return a.requirement < b.requirement; });
    fitting.push_back(&candidates[static_cast<std::size_t>(least - kept.begin())]);
  }
  const auto best = canonical_replacement(fitting, originals, data.choosing_rows);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const Networks stand_in(originals.size(), fitting[static_cast<std::size_t>(best.index)]);
  return measured_by(referees, stand_in, seconds.count() / static_cast<double>(stand_in.size()));
}

std::string polish_title(std::int64_t steps, double epoch) {
  const double epochs = static_cast<double>(steps) / epoch;
  if (epochs >= 0.95) return fmt::format("{:.2g} epoch{}", epochs, epochs < 1.05 ? "" : "s");
  return fmt::format("{} step{}", steps, steps == 1 ? "" : "s");
}

/// Editing takes up memory once; what counts is how long it takes from then on.
Contender editing_contender(std::string name, std::string title, std::vector<std::string> settings,
                            NetworkMethod method) {
  Contender contender =
      network_contender(std::move(name), std::move(title), MethodKind::editor, std::move(settings), method);
  contender.run = [run = std::move(contender.run), method = std::move(method)](const Referees& referees,
                                                                               std::size_t setting, double rate) {
    method(referees.front()->originals(), setting);
    return run(referees, setting, rate);
  };
  return contender;
}

}  // namespace

EditorContender::EditorContender(const ContenderData& data, const ComparedEditor& editor)
    : title_(editor.title),
      strengths_(data.table->strengths),
      requirement_(0),
      budgets_(budgets_of(data)),
      editor_(std::make_unique<LoadedEditor>(editor.file, *data.dataset, data.device, editor.probe_rows)) {
  requirement_ =
      static_cast<std::size_t>(editor_->trained().requirement(data.table->requirement, editor.file.string()));
}

double EditorContender::lambda(std::size_t setting) const {
  const double strength = static_cast<double>(setting) / static_cast<double>(strengths_ - 1);
  return editor_->trained().config.lambda[requirement_].at_strength(std::max(strength, 1e-9));
}

std::vector<std::string> EditorContender::settings() const {
  std::vector<std::string> names;
  for (int s = 0; s < strengths_; ++s)
    names.push_back(fmt::format("lambda {:.3g}", lambda(static_cast<std::size_t>(s))));
  return names;
}

std::vector<SubjectNetwork> EditorContender::edit(const Networks& networks, std::size_t setting) const {
  std::vector<double> weights(editor_->trained().config.lambda.size(), 0.0);
  weights[requirement_] = lambda(setting);
  return editor_->edit(networks, weights);
}

bool EditorContender::has_budgets() const {
  const TrainedEditor& trained = editor_->trained();
  return !budgets_.empty() && requirement_ < trained.kept.size() && trained.kept[requirement_].known();
}

std::vector<SubjectNetwork> EditorContender::edit_to_budget(const Networks& networks, std::size_t setting) const {
  std::vector<double> weights(editor_->trained().config.lambda.size(), 0.0), budget(weights.size(), kNoBudget);
  budget[requirement_] = budgets_[setting];
  return editor_->edit_to_budget(networks, weights, budget);
}

void add_editor_contenders(const ContenderData& data, const std::vector<EditorContender>& editors,
                           std::vector<Contender>& contenders) {
  for (std::size_t e = 0; e < editors.size(); ++e) {
    const EditorContender& editor = editors[e];
    const std::string name = e == 0 ? "editor" : "editor_" + std::to_string(e + 1);
    contenders.push_back(editing_contender(
        name, editor.title(), editor.settings(),
        [&editor](const Networks& networks, std::size_t setting) { return editor.edit(networks, setting); }));
    if (editor.has_budgets())
      contenders.push_back(editing_contender(
          name + "_budget", editor.title() + ", told what to keep", budget_settings(data),
          [&editor](const Networks& networks, std::size_t s) { return editor.edit_to_budget(networks, s); }));
  }
  const EditorContender& first = editors.front();
  const bool groups = make_requirements({data.table->requirement}, "comparison").front()->reads_groups();
  for (const std::int64_t steps : data.config->polish) {
    FineTuning tuning{.steps = steps};
    std::vector<double> lambda;
    if (groups) {
      tuning.requirements = make_requirements({data.table->requirement}, "comparison");
      tuning.sensitive = data.sensitive;
      for (std::size_t s = 0; s < first.settings().size(); ++s) lambda.push_back(first.lambda(s));
    }
    const auto add = [&](const std::string& name, const std::string& title, const std::vector<std::string>& settings,
                         NetworkMethod edit) {
      contenders.push_back(
          tuned_contender(data, fmt::format("{}_{}_steps", name, steps),
                          fmt::format("{}, then {}", title, polish_title(steps, static_cast<double>(data.steps(1.0)))),
                          MethodKind::polished, settings, std::move(edit), tuning, lambda));
    };
    if (first.has_budgets())
      add("editor_budget", first.title() + ", told what to keep", budget_settings(data),
          [&first](const Networks& networks, std::size_t s) { return first.edit_to_budget(networks, s); });
    else
      add("editor", first.title(), first.settings(),
          [&first](const Networks& networks, std::size_t s) { return first.edit(networks, s); });
  }
  if (data.training_networks.empty()) return;
  Contender canonical{.name = "canonical",
                      .title = "one edited network for all",
                      .kind = MethodKind::canonical,
                      .settings = first.settings(),
                      .learning_rates = {},
                      .towards_labels = false,
                      .run = {}};
  canonical.run = [&data, &first](const Referees& referees, std::size_t setting, double) {
    return replace_by_canonical(data, first, referees, setting);
  };
  contenders.push_back(std::move(canonical));
}

}  // namespace amend
