#pragma once

#include <string>
#include <vector>

namespace amend::page {

/// Heights for labels that belong at `wanted`, in the same order: at least `gap` apart, between `top` and `bottom`
/// where there is room, as near to where they belong as that allows.
std::vector<double> spread(const std::vector<double>& wanted, double gap, double top, double bottom);

struct Box {
  double left = 0.0, top = 0.0, right = 0.0, bottom = 0.0;
};

/// Where a label beside a point begins (left end of its base line).
struct LabelPlace {
  double x = 0.0, y = 0.0;
};

struct LabelledPoint {
  double x = 0.0, y = 0.0, width = 0.0;  // the point, and how wide its label is
};

/// Places for labels beside points, of letters `height` tall, inside `frame`: those that cover points and other labels
/// least, the first point choosing first.
std::vector<LabelPlace> beside(const std::vector<LabelledPoint>& points, double height, const Box& frame);

/// About how wide `text` (UTF-8) is in letters `size` tall.
double text_width(const std::string& text, double size);

}  // namespace amend::page
