#pragma once

#include <string>

#include "app/page/statistics.hpp"

namespace amend::page {

/// The figures of table number `number` (from 1), with legend, as HTML: fronts, hypervolumes, time, worst cases.
std::string figures_of(const ComparisonTable& table, const TableStatistics& statistics, std::size_t number);

}  // namespace amend::page
