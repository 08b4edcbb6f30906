#pragma once

#include <vector>

#include "requirements/comparison/contender.hpp"

namespace amend {

/// The editors of a table, the first one followed by polishing, and its canonical replacement.
void add_editor_contenders(const ContenderData& data, const std::vector<EditorContender>& editors,
                           std::vector<Contender>& contenders);

}  // namespace amend
