#include "app/condition.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/error.hpp"

namespace amend {
namespace {

struct Assignment {
  std::string name;
  double value;
};

/// `pruning=0.3` with a number that `Bounds` could not say better: 0 or more, at most `limit`.
Assignment parse_assignment(const std::string& text, const char* option, double limit) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos || sign == 0)
    fail_input(option, "expected name=value, for example pruning=0.3, got `", text, "`");
  Assignment result{text.substr(0, sign), 0.0};
  const char *begin = text.data() + sign + 1, *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, result.value);
  if (error != std::errc() || stop != end || !(result.value >= 0.0 && result.value <= limit))
    fail_input(option, "expected a number ", std::isfinite(limit) ? "from 0 (off) to 1 (strongest)" : "of at least 0",
               " for `", result.name, "`, got `", std::string(begin, end), "`",
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

EditCondition parse_condition(const TrainedEditor& editor, const std::vector<std::string>& strengths,
                              const std::vector<std::string>& lambdas) {
  EditCondition condition;
  condition.names = editor.config.shape.requirements;
  condition.lambda.assign(condition.names.size(), 0.0);
  condition.strength.assign(condition.names.size(), 0.0);
  std::vector<bool> named(condition.names.size(), false);
  const auto place = [&](const Assignment& assignment, const char* option) {
    const auto index = static_cast<std::size_t>(editor.requirement(assignment.name, option));
    if (named[index]) fail_input(option, "`", assignment.name, "` is given twice");
    named[index] = true;
    return index;
  };
  for (const std::string& text : strengths) {
    const Assignment assignment = parse_assignment(text, "--condition", 1.0);
    const std::size_t r = place(assignment, "--condition");
    condition.strength[r] = assignment.value;
    condition.lambda[r] = editor.config.lambda[r].at_strength(assignment.value);
  }
  for (const std::string& text : lambdas) {
    const Assignment assignment = parse_assignment(text, "--lambda", std::numeric_limits<double>::infinity());
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
  if (strengths.empty() && lambdas.empty()) {
    std::string known;
    for (const std::string& name : condition.names) known += (known.empty() ? "" : ", ") + name;
    fail_input("--condition", "say what the edit is for, for example --condition ", condition.names.front(),
               "=0.5; this editor knows: ", known);
  }
  if (condition.lambdas().empty())
    condition.warnings.push_back("warning: every requirement is off; this editor was never trained to do nothing");
  return condition;
}

}  // namespace amend
