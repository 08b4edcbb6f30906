#pragma once

#include <cstddef>
#include <string>

namespace amend::page {

/// How method number `method` of a table looks: colour, shape and dashes together tell at least forty methods apart,
/// and shape alone the first ten.
std::string mark_class(std::size_t method);  // CSS classes: of the method, and of its colour
std::string mark(std::size_t method, double x, double y, double radius = 5.0);  // an SVG path
std::string dashes(std::size_t method);                                         // value of stroke-dasharray

/// A line with its mark, for the legend: an SVG of its own, hidden from screen readers.
std::string sample(std::size_t method);

}  // namespace amend::page
