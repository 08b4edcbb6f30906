#include "requirements/comparison/budgets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace amend {
namespace {

constexpr const char* kPruning = "pruning";
constexpr const char* kFeatures = "data_minimisation";

std::vector<double> default_feature_budgets(std::size_t features) {
  std::vector<double> kept;
  constexpr int kMost = 12;
  for (auto count = static_cast<std::int64_t>(features) - 1; count >= 0 && features <= kMost + 4; --count)
    kept.push_back(static_cast<double>(count));
  for (int i = 1; i <= kMost && features > kMost + 4; ++i) {
    const double count = std::round(std::pow(static_cast<double>(features), 1.0 - static_cast<double>(i) / kMost));
    if (kept.empty() || count < kept.back()) kept.push_back(count);
  }
  if (kept.empty() || kept.back() > 0.0) kept.push_back(0.0);
  return kept;
}

}  // namespace

std::vector<double> budgets_of(const ContenderData& data) {
  const std::string& requirement = data.table->requirement;
  std::vector<double> budgets = data.table->budgets;
  const std::size_t features = data.dataset->features.size();
  if (requirement == kPruning && budgets.empty())
    budgets = {0.6, 0.5, 0.4, 0.3, 0.22, 0.16, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01};
  if (requirement == kFeatures && budgets.empty()) budgets = default_feature_budgets(features);
  if (requirement == kFeatures)
    for (double& kept : budgets) kept = std::min(std::round(kept), static_cast<double>(features));
  return requirement == kPruning || requirement == kFeatures ? budgets : std::vector<double>{};
}

std::vector<std::string> budget_settings(const ContenderData& data) {
  std::vector<std::string> names;
  for (const double budget : budgets_of(data))
    names.push_back(data.table->requirement == kPruning ? fmt::format("{:g}% of the weights", 100.0 * budget)
                                                        : fmt::format("{:g} features", budget));
  return names;
}

}  // namespace amend
