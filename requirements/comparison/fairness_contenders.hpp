#pragma once

#include <string>
#include <vector>

#include "requirements/comparison/contender.hpp"

namespace amend {

/// Fine-tuning with the penalty, reweighing with retraining, and group thresholds.
void add_fairness_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders);
std::vector<std::string> fairness_baselines();

}  // namespace amend
