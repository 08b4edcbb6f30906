#pragma once

#include <string>
#include <vector>

#include "requirements/comparison/contender.hpp"

namespace amend {

/// What methods are told to keep in this table, from mild to strong: those of the configuration, or shares of the
/// weights from 60% to 1% for pruning, and for data minimisation every number of features down to none, of many only
/// twelve, evenly in their logarithm, and none. Empty for requirements that nothing is counted for.
std::vector<double> budgets_of(const ContenderData& data);

/// How they are called: `10% of the weights`, `4 features`.
std::vector<std::string> budget_settings(const ContenderData& data);

}  // namespace amend
