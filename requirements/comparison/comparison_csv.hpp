#pragma once

#include <string>

#include "requirements/comparison/comparison.hpp"

namespace amend {

/// A comparison as a table for spreadsheets and data frames: a header line, then one line per table, method, setting
/// and network. Cells are quoted where RFC 4180 asks for it or a blank at an end would be lost; lines end in LF;
/// numbers have the digits that give the same double back. Columns:
///   dataset, requirement, networks  which table (Comparison::dataset, ComparisonTable::requirement, ::networks)
///   method, title, kind, tuned      ComparedMethod::name, ::title, to_string(::kind), ::tuned
///   setting, seconds                ComparedPoint::setting, ::seconds (per network)
///   network                         its name
///   value                           ComparedNetwork::requirement: the edited network on the table's axis
///   divergence                      nats; empty where there is none
///   accuracy_drop                   points
///   unedited, accuracy              of the original: on the axis, and 0 to 1
///   constant_divergence, useless_drop  losses of a useless network: nats, points
/// Throws Error as check_comparison does.
std::string comparison_csv(const Comparison& comparison);

}  // namespace amend
