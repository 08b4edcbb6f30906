#pragma once

#include <string>

#include "app/page/statistics.hpp"

namespace amend::page {

/// Every table of a comparison with its verdict, as one HTML table with links to the sections.
std::string overview(const Comparison& comparison);

/// Per method: hypervolumes, leads, time, what was tuned. `number` is the table's, from 1.
std::string method_table(const ComparisonTable& table, std::size_t number);

/// Per method and setting: requirement, divergence, accuracy lost, worst cases.
std::string setting_table(const ComparisonTable& table, const TableStatistics& statistics, std::size_t number);

/// How specific the editor's edits are, setting by setting; empty when that was not measured.
std::string specificity_table(const ComparisonTable& table, std::size_t number);

/// Several requirements at once: a row for each way to meet them, setting by setting.
std::string joint_table(const Comparison& comparison);

}  // namespace amend::page
