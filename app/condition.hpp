#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "metanet/train/trained_editor.hpp"

namespace amend {

/// What an edit asks for: a weight for every requirement that the editor knows, in its order; 0 is off.
struct EditCondition {
  std::vector<std::string> names;
  std::vector<double> lambda;
  std::vector<double> strength;       // place of lambda in the trained range, 0 .. 1; beyond it when given as lambda
  std::vector<double> budget;         // what to keep, kNoBudget for none; where given, it takes the place of the two
  std::vector<std::string> warnings;  // what to tell the user

  /// `pruning 0.3 (lambda 0.008), data_minimisation at most 4, equalised_odds off`.
  std::string text() const;
  /// The weights in force by name, budgets apart.
  nlohmann::ordered_json lambdas() const;
  nlohmann::ordered_json strengths() const;
  nlohmann::ordered_json budgets() const;
  /// For `networks` networks: (networks, requirements) row-major.
  std::vector<double> repeated(std::size_t networks) const;
  std::vector<double> repeated_budget(std::size_t networks) const;
};

/// Reads `name=value,name=value` lists: `strengths` of --condition, each 0 .. 1, and `lambdas` of --lambda, each at
/// least 0, and `budgets` of --budget: shares of the weights or of the hidden neurons from 0 to 1, or numbers of
/// features. What is named in none is off. Throws InputError for anything else, and when nothing is named.
EditCondition parse_condition(const TrainedEditor& editor, const std::vector<std::string>& strengths,
                              const std::vector<std::string>& lambdas, const std::vector<std::string>& budgets = {});

}  // namespace amend
