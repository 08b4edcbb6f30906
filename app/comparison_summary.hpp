#pragma once

#include <string>

#include "requirements/comparison/comparison.hpp"

namespace amend {

/// A comparison as text for a terminal: per table one line per method, best first.
std::string comparison_text(const Comparison& comparison);

}  // namespace amend
