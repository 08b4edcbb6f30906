#pragma once

#include <string>
#include <vector>

#include "requirements/comparison/contender.hpp"

namespace amend {

/// Magnitude, Wanda-like and OBD pruning, each also with fine-tuning.
void add_pruning_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders);
std::vector<std::string> pruning_baselines();

}  // namespace amend
