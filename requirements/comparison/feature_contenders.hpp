#pragma once

#include <string>
#include <vector>

#include "requirements/comparison/contender.hpp"

namespace amend {

/// Selection of features by norm, ablation and permutation, with fine-tuning, and retraining from scratch.
void add_feature_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders);
std::vector<std::string> feature_baselines();

}  // namespace amend
