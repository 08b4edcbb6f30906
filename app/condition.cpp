#include "app/condition.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/error.hpp"
#include "metanet/train/budgeted_edit.hpp"

namespace amend {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

struct Assignment {
  std::string name;
  double value;
};

/// `pruning=0.3` with a number from 0 to `limit`; `expected` says so.
Assignment parse_assignment(const std::string& text, const char* option, double limit, const char* expected) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos || sign == 0)
    fail_input(option, "expected name=value, for example pruning=0.3, got `", text, "`");
  Assignment result{text.substr(0, sign), 0.0};
  const char *begin = text.data() + sign + 1, *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, result.value);
  if (error != std::errc() || stop != end || !(result.value >= 0.0 && result.value <= limit))
    fail_input(option, "expected a number ", expected, " for `", result.name, "`, got `", std::string(begin, end), "`",
               std::find(begin, end, '=') == end ? "" : "; separate requirements by commas, without spaces");
  return result;
}

/// Where `lambda` lies in the range: the inverse of LambdaRange::at_strength, finite for every finite weight.
double strength_of(double lambda, const LambdaRange& range) {
  if (lambda <= 0.0) return 0.0;
  const double low = std::log(range.low), high = std::log(range.high);
  return high > low ? (std::log(lambda) - low) / (high - low) : 1.0;
}

}  // namespace

std::string EditCondition::text() const {
  std::string result;
  for (std::size_t r = 0; r < names.size(); ++r) {
    if (r > 0) result += ", ";
    if (budget[r] >= 0.0)
      result += fmt::format("{} at most {:g}", names[r], budget[r]);
    else
      result += lambda[r] > 0.0 ? fmt::format("{} {:.3g} (lambda {:.3g})", names[r], strength[r], lambda[r])
                                : names[r] + " off";
  }
  return result;
}

nlohmann::ordered_json EditCondition::lambdas() const {
  auto json = nlohmann::ordered_json::object();
  for (std::size_t r = 0; r < names.size(); ++r)
    if (lambda[r] > 0.0) json[names[r]] = lambda[r];
  return json;
}

nlohmann::ordered_json EditCondition::budgets() const {
  auto json = nlohmann::ordered_json::object();
  for (std::size_t r = 0; r < names.size(); ++r)
    if (budget[r] >= 0.0) json[names[r]] = budget[r];
  return json;
}

nlohmann::ordered_json EditCondition::strengths() const {
  auto json = nlohmann::ordered_json::object();
  for (std::size_t r = 0; r < names.size(); ++r)
    if (lambda[r] > 0.0) json[names[r]] = strength[r];
  return json;
}

std::vector<double> EditCondition::repeated(std::size_t networks) const {
  std::vector<double> all;
  for (std::size_t n = 0; n < networks; ++n) all.insert(all.end(), lambda.begin(), lambda.end());
  return all;
}

std::vector<double> EditCondition::repeated_budget(std::size_t networks) const {
  std::vector<double> all;
  for (std::size_t n = 0; n < networks; ++n) all.insert(all.end(), budget.begin(), budget.end());
  return all;
}

EditCondition parse_condition(const TrainedEditor& editor, const std::vector<std::string>& strengths,
                              const std::vector<std::string>& lambdas, const std::vector<std::string>& budgets) {
  EditCondition condition;
  condition.names = editor.config.shape.requirements;
  condition.lambda.assign(condition.names.size(), 0.0);
  condition.strength.assign(condition.names.size(), 0.0);
  condition.budget.assign(condition.names.size(), kNoBudget);
  std::vector<bool> named(condition.names.size(), false);
  const auto place = [&](const Assignment& assignment, const char* option) {
    const auto index = static_cast<std::size_t>(editor.requirement(assignment.name, option));
    if (named[index]) fail_input(option, "`", assignment.name, "` is given twice");
    named[index] = true;
    return index;
  };
  for (const std::string& text : strengths) {
    const Assignment assignment = parse_assignment(text, "--condition", 1.0, "from 0 (off) to 1 (strongest)");
    const std::size_t r = place(assignment, "--condition");
    condition.strength[r] = assignment.value;
    condition.lambda[r] = editor.config.lambda[r].at_strength(assignment.value);
  }
  for (const std::string& text : lambdas) {
    const Assignment assignment = parse_assignment(text, "--lambda", kUnbounded, "of at least 0");
    if (!std::isfinite(assignment.value))
      fail_input("--lambda", "expected a finite number for `", assignment.name, "`");
    const std::size_t r = place(assignment, "--lambda");
    const LambdaRange& range = editor.config.lambda[r];
    condition.lambda[r] = assignment.value;
    condition.strength[r] = strength_of(assignment.value, range);
    if (assignment.value > 0.0 && (assignment.value < range.low || assignment.value > range.high))
      condition.warnings.push_back(
          fmt::format("warning: lambda {:g} for `{}` is outside the range the editor was "
                      "trained for, {:g} .. {:g}; the edit may be poor",
                      assignment.value, assignment.name, range.low, range.high));
  }
  for (const std::string& text : budgets) {
    const Assignment assignment = parse_assignment(text, "--budget", kUnbounded, "of at least 0");
    const std::size_t r = place(assignment, "--budget");
    expect_budget(editor, r, "--budget");
    const bool features = editor.editor->requirements()[r]->gates().features;
    if (features ? !(std::isfinite(assignment.value) && assignment.value == std::floor(assignment.value))
                 : assignment.value > 1.0)
      fail_input("--budget", "expected ", features ? "a whole number of features" : "a share from 0 to 1", " for `",
                 assignment.name, "`, got `", text.substr(assignment.name.size() + 1), "`");
    condition.budget[r] = assignment.value;
    if (const double least = editor.kept[r].kept.back(); assignment.value < 0.9 * least)
      condition.warnings.push_back(fmt::format(
          "warning: the strongest edits that the editor was trained for keep {:.3g} for `{}` on average; with "
          "a budget of {:g} the edit may be poor",
          least, assignment.name, assignment.value));
  }
  if (strengths.empty() && lambdas.empty() && budgets.empty()) {
    std::string known;
    for (const std::string& name : condition.names) known += (known.empty() ? "" : ", ") + name;
    fail_input("--condition", "say what the edit is for, for example --condition ", condition.names.front(),
               "=0.5; this editor knows: ", known);
  }
  if (condition.lambdas().empty() && budgets.empty())
    condition.warnings.push_back("warning: every requirement is off; this editor was never trained to do nothing");
  return condition;
}

}  // namespace amend
