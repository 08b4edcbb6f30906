#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "metanet/data/population.hpp"

namespace amend {

/// What is in a population, for a person: dataset, splits, shapes, accuracy, edits.
std::string population_text(const Population& population);

/// The same and every network, for a machine.
nlohmann::ordered_json population_json(const Population& population);

/// Share of weights that are not zero.
double nonzero_share(const SubjectNetwork& network);

/// `108-32-16-2`.
std::string widths_text(const SubjectNetwork& network);

}  // namespace amend
