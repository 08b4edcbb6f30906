#pragma once

#include <string>
#include <vector>

#include "metanet/data/dataset.hpp"

namespace amend {

/// A part of the rows that are measured on: those whose categorical feature has one of some levels. Nothing was trained
/// or tuned on this part alone, so that measuring on it tells what a shift of the population does.
struct RowShift {
  std::string name;     // `people with a degree`
  std::string feature;  // of the dataset, categorical
  std::vector<std::string> levels;
};

/// The rows that `shift` describes. Throws InputError, which begins with `where`, when the dataset has no such
/// categorical feature or level, or no such row.
Rows shifted_rows(const Dataset& dataset, const Rows& rows, const RowShift& shift, const std::string& where);

}  // namespace amend
