#pragma once

#include <string>
#include <vector>

#include "requirements/comparison/contender.hpp"

namespace amend {

/// A one-shot baseline `name` followed by each of the configured numbers of epochs of fine-tuning, when `wanted` has
/// `<name>_tuned`: towards the original's predictions; with most epochs towards labels as well.
void add_with_epochs(const ContenderData& data, const Wanted& wanted, const std::string& name, const std::string& title,
                     const std::vector<std::string>& settings, const NetworkMethod& start,
                     std::vector<Contender>& contenders);

/// `3 epochs`.
std::string epochs_text(double epochs);

}  // namespace amend
