#pragma once

#include <string>

#include "requirements/comparison/comparison.hpp"

namespace amend {

/// A report of a comparison as one HTML page: verdicts, plots and tables. It needs no other file and no network, reads
/// without scripts, follows the light or dark setting of the reader and is well-formed XML too. The same comparison
/// gives the same bytes. Throws Error as check_comparison does.
std::string comparison_page(const Comparison& comparison);

}  // namespace amend
