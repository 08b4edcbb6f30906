#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "requirements/metric/interval.hpp"

namespace amend::page {

struct PlotPoint {
  double x = 0.0, y = 0.0;
  std::optional<Interval> interval;  // of y
  std::string tip;                   // shown when pointed at
};

struct Curve {
  std::size_t method = 0;  // its number in the table: 0 is the editor, which is drawn on top
  std::string label;
  std::vector<PlotPoint> points;  // joined in this order
};

/// Where the names of the curves are written.
enum class Labels { none, right, beside };

/// A plot of curves, as an inline SVG. All texts are plain; they are escaped here.
struct Plot {
  std::string id;                        // of the page: title and description are found by it
  std::string title, description;        // for those who do not see it
  std::string x_title, x_hint, y_title;  // the hint follows the title, which is shortened where it is long
  bool x_logarithmic = false;
  bool x_reversed = false;  // large values at the left
  std::vector<Curve> curves;
  std::optional<double> x_unedited;  // a vertical line
  std::optional<double> y_limit;     // a horizontal line, or a note where it is far above the curves
  std::string y_limit_label;
  std::optional<double> y_most;  // curves that go further up leave the plot at its top
  bool y_from_zero = true;
  Labels labels = Labels::none;
};
std::string svg(const Plot& plot);

struct DotRow {
  std::size_t method = 0;
  std::string label;
  double mean = 0.0;
  Interval interval;
};

/// Values with intervals, one row each, in the given order.
struct DotPlot {
  std::string id, title, description, x_title;
  std::vector<DotRow> rows;
};
std::string svg(const DotPlot& plot);

}  // namespace amend::page
