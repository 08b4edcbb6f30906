#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "metanet/train/fine_tuning.hpp"
#include "requirements/comparison/comparison.hpp"
#include "requirements/comparison/comparison_config.hpp"
#include "requirements/comparison/loaded_editor.hpp"
#include "requirements/comparison/referee.hpp"

namespace amend {

/// What the methods of one table work with: the same rows for everybody. No audit rows are among them.
struct ContenderData {
  const Dataset* dataset = nullptr;
  const ComparisonConfig* config = nullptr;
  const ComparisonTableConfig* table = nullptr;
  Device device;  // of editors and fine-tuning; scores and thresholds are found on the CPU
  std::vector<std::string> sensitive;
  std::vector<float> probe_rows;     // (rows, inputs) of editor_train
  Networks training_networks;        // candidates for canonical replacement
  std::vector<float> choosing_rows;  // (rows, inputs) of validation: what a canonical network is chosen on

  /// Steps that so many epochs over editor_train are.
  std::int64_t steps(double epochs) const {
    return steps_of(epochs, dataset->editor_train.count, config->fine_tuning_rows);
  }
};

/// A method with its settings from mild to strong.
struct Contender {
  std::string name, title;
  MethodKind kind = MethodKind::one_shot;
  std::vector<std::string> settings;
  std::vector<double> learning_rates;  // to choose from on validation networks; empty: nothing to choose
  bool towards_labels = false;         // they are chosen by accuracy, not by divergence

  /// Edits the referees' networks, the same for all, at setting `setting` and has each measure them: a point for each.
  /// The seconds are those of editing.
  std::function<std::vector<ComparedPoint>(const Referees& referees, std::size_t setting, double learning_rate)> run;
};

/// Whether a baseline of this name is to be compared.
using Wanted = std::function<bool(const std::string&)>;

/// Edits networks; the second argument is the index of the setting.
using NetworkMethod = std::function<std::vector<SubjectNetwork>(const Networks&, std::size_t)>;

/// What each referee measures of the same edits; `seconds`: per network.
std::vector<ComparedPoint> measured_by(const Referees& referees, const Networks& edited, double seconds);

/// A contender that edits networks and trains none of them.
Contender network_contender(std::string name, std::string title, MethodKind kind, std::vector<std::string> settings,
                            NetworkMethod method);

/// The same followed by fine-tuning; `tuning` has everything but the learning rate. lambda: of tuning.requirements, at
/// each setting.
Contender tuned_contender(const ContenderData& data, std::string name, std::string title, MethodKind kind,
                          std::vector<std::string> settings, NetworkMethod start, FineTuning tuning,
                          std::vector<double> lambda = {});

/// An editor of the table, ready for its dataset.
class EditorContender {
 public:
  EditorContender(const ContenderData& data, const ComparedEditor& editor);

  /// Edits at strength `setting / (settings - 1)`, where 0 stands for the least lambda.
  std::vector<SubjectNetwork> edit(const Networks& networks, std::size_t setting) const;
  std::vector<std::string> settings() const;
  /// Edits to budget `setting` of `budgets_of`; whether the editor can is `has_budgets`.
  std::vector<SubjectNetwork> edit_to_budget(const Networks& networks, std::size_t setting) const;
  bool has_budgets() const;
  double lambda(std::size_t setting) const;
  const std::string& title() const { return title_; }
  /// The attributes that it goes by on `dataset`.
  std::vector<std::string> sensitive_on(const Dataset& dataset) const {
    return editor_->trained().sensitive_on(dataset);
  }

 private:
  std::string title_;
  int strengths_;
  std::size_t requirement_;
  std::vector<double> budgets_;
  std::unique_ptr<LoadedEditor> editor_;
};

/// All methods of a table, the first editor first. `editors` and `data` outlive them.
std::vector<Contender> make_contenders(const ContenderData& data, const std::vector<EditorContender>& editors);

/// Requirements that can be compared.
std::vector<std::string> compared_requirements();
/// Baselines there are for a requirement.
std::vector<std::string> baseline_names(const std::string& requirement);

}  // namespace amend
