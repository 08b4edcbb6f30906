#pragma once

#include <string>
#include <vector>

#include "engine/tensor.hpp"
#include "metanet/data/dataset.hpp"

namespace amend {

/// What an editor without an input embedding reads of every input column, of the editor_train rows: see
/// kInputStatistics. attributes: as for RowSampler. statistics: (inputs, kInputStatistics) float, in host memory.
void fill_statistics(const Dataset& dataset, const std::vector<std::string>& attributes, const TensorView& statistics);

}  // namespace amend
