#pragma once

#include <string_view>

#include "requirements/comparison/comparison.hpp"

namespace amend {

/// Throws Error, beginning with `operation`, unless every vector over networks is as long as ComparisonTable::network
/// and every number is finite.
void check_comparison(const Comparison& comparison, std::string_view operation);

}  // namespace amend
