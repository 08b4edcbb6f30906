#pragma once

#include "requirements/comparison/comparison.hpp"

namespace amend::test {

/// A comparison from formulas: `methods` (at most 10) at `settings` for each of `networks`, in three tables. In the
/// first the editor is ahead of all, in the second (logarithmic) it loses to some, in the third no method but the
/// editor has a divergence. The numbers look like measured ones and mean nothing.
Comparison comparison_example(std::size_t methods = 10, std::size_t settings = 8, std::size_t networks = 40);

/// Fills the volumes of all methods of `table` from its points.
void fill_volumes(ComparisonTable& table);

}  // namespace amend::test
