#include "app/page/plot.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "app/page/html_text.hpp"
#include "app/page/label_places.hpp"
#include "app/page/mark.hpp"
#include "app/page/scale.hpp"

namespace amend::page {
namespace {

// In units of the view box. Letters grow on narrow screens (style.cpp), where labels at the right are cut off: the
// margins have room for that.
constexpr double kLeft = 84, kRight = 544, kTop = 56, kBottom = 380, kHeight = 446;
constexpr double kWidth = 572, kLabelledWidth = 760;
constexpr double kLetters = 12;
constexpr std::size_t kLongestLabel = 30, kLongestTitle = 34;
// A limit further above the curves than this would leave them no height.
constexpr double kFar = 1.5;

/// `text` with at most `longest` characters.
std::string shortened(const std::string& text, std::size_t longest) {
  std::size_t characters = 0, end = 0;
  for (; end < text.size(); ++end)
    if ((static_cast<unsigned char>(text[end]) & 0xc0u) != 0x80u && ++characters > longest)
      return text.substr(0, end) + "\u2026";
  return text;
}

std::string open_svg(const std::string& id, const std::string& title, const std::string& description,
                     const std::string& kind, double width, double height) {
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" class="plot {0}" viewBox="0 0 {1:g} {2:g}" role="img" aria-labelledby="{3}-t" aria-describedby="{3}-d">)"
      "\n<title id=\"{3}-t\">{4}</title>\n<desc id=\"{3}-d\">{5}</desc>\n",
      kind, width, height, escaped(id), escaped(title), escaped(description));
}

std::string text(double x, double y, const std::string& anchor, const std::string& kind, const std::string& words,
                 const std::string& shift = "0") {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" dy="{}" text-anchor="{}" class="{}">{}</text>)", x, y, shift,
                     anchor, kind, escaped(words)) +
         "\n";
}

std::string line(double x1, double y1, double x2, double y2, const std::string& kind) {
  return fmt::format(R"(<path class="{}" d="M{:.1f},{:.1f}L{:.1f},{:.1f}"/>)", kind, x1, y1, x2, y2) + "\n";
}

std::string x_axis(const Scale& x, const std::string& title, double left, double top, double bottom, bool grid) {
  std::string out = line(left, bottom, kRight, bottom, "axis");
  for (const Tick& tick : x.ticks()) {
    if (grid) out += line(tick.position, top, tick.position, bottom, "grid");
    out += line(tick.position, bottom, tick.position, bottom + 5, "axis");
    out += text(tick.position, bottom + 5, "middle", "tick", tick.label, "1.15em");
  }
  if (x.gap() >= 0.0)
    out += line(x.gap() - 5, bottom + 5, x.gap() - 1, bottom - 5, "axis") +
           line(x.gap() + 1, bottom + 5, x.gap() + 5, bottom - 5, "axis");
  return out + text(0.5 * (left + kRight), bottom + 5, "middle", "title", title, "2.6em");
}

struct Scales {
  Scale x, y;
  bool limit_shown = false;
};

Scales scales_of(const Plot& plot) {
  std::vector<double> xs, ys;
  for (const Curve& curve : plot.curves)
    for (const PlotPoint& point : curve.points) {
      xs.push_back(point.x);
      ys.push_back(point.y);
      if (point.interval) ys.insert(ys.end(), {point.interval->low, point.interval->high});
    }
  if (plot.x_unedited) xs.push_back(*plot.x_unedited);
  if (plot.y_from_zero) ys.push_back(0.0);
  if (plot.y_most)
    for (double& y : ys) y = std::min(y, *plot.y_most);
  const double highest = ys.empty() ? 0.0 : *std::max_element(ys.begin(), ys.end());
  const bool shown = plot.y_limit && (highest <= 0.0 || *plot.y_limit <= kFar * highest);
  if (shown) ys.push_back(*plot.y_limit);
  // Points at the frame's ends stay clear of it.
  const double from = plot.x_reversed ? kRight - 8 : kLeft + 8, to = plot.x_reversed ? kLeft + 8 : kRight - 8;
  return {plot.x_logarithmic ? Scale::logarithmic(xs, from, to) : Scale::linear(xs, from, to),
          Scale::linear(ys, kBottom, kTop), shown};
}

/// The interval of the mean: a band for the editor, whiskers for the others, which would cover each other.
std::string intervals(const Curve& curve, const Scales& scales) {
  std::string upper, lower, whiskers;
  for (const PlotPoint& point : curve.points) {
    if (!point.interval) continue;
    const double x = scales.x(point.x), low = scales.y(point.interval->low), high = scales.y(point.interval->high);
    upper += fmt::format("{}{:.1f},{:.1f}", upper.empty() ? "M" : "L", x, high);
    lower = fmt::format("L{:.1f},{:.1f}", x, low) + lower;
    whiskers += fmt::format("M{:.1f},{:.1f}V{:.1f}", x, low, high);
  }
  if (whiskers.empty()) return "";
  if (curve.method == 0 && curve.points.size() > 1)
    return fmt::format(R"(<path class="band" d="{}{}Z"/>)", upper, lower) + "\n";
  return fmt::format(R"(<path class="whisker" d="{}"/>)", whiskers) + "\n";
}

std::string drawn(const Curve& curve, const Scales& scales) {
  std::string out = fmt::format("<g class=\"{}{}\">\n", mark_class(curve.method), curve.method == 0 ? " own" : "");
  out += intervals(curve, scales);
  std::string path, marks;
  for (const PlotPoint& point : curve.points) {
    const double x = scales.x(point.x), y = scales.y(point.y);
    path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "M" : "L", x, y);
    marks += fmt::format("<g>{}<title>{}</title></g>\n", mark(curve.method, x, y), escaped(point.tip));
  }
  if (curve.points.size() > 1)
    out += fmt::format("<path class=\"line\" stroke-dasharray=\"{}\" d=\"{}\"/>\n", dashes(curve.method), path);
  return out + marks + "</g>\n";
}

std::string label(const Curve& curve, double x, double y, const std::string& leader) {
  return fmt::format("<g class=\"{} direct{}\">{}{}</g>\n", mark_class(curve.method), curve.method == 0 ? " own" : "",
                     leader, text(x, y, "start", "name", shortened(curve.label, kLongestLabel)));
}

/// Names at the right, joined to where their curves end.
std::string labels_right(const std::vector<const Curve*>& curves, const Scales& scales) {
  std::vector<double> ends;
  for (const Curve* curve : curves) ends.push_back(std::max(scales.y(curve->points.back().y), kTop - 8));
  const std::vector<double> places = spread(ends, kLetters + 4, kTop - 20, kBottom + 40);
  std::string out;
  for (std::size_t i = 0; i < curves.size(); ++i)
    out += label(*curves[i], kRight + 22, places[i] + 0.35 * kLetters,
                 line(scales.x(curves[i]->points.back().x) + 7, ends[i], kRight + 4, ends[i], "leader") +
                     line(kRight + 4, ends[i], kRight + 19, places[i], "leader"));
  return out;
}

std::string labels_beside(const std::vector<const Curve*>& curves, const Scales& scales) {
  std::vector<LabelledPoint> points;
  for (const Curve* curve : curves)
    points.push_back({scales.x(curve->points.front().x), scales.y(curve->points.front().y),
                      text_width(shortened(curve->label, kLongestLabel), kLetters)});
  const std::vector<LabelPlace> places =
      beside(points, kLetters + 2, {kLeft + 4, kTop - 4, kLabelledWidth - 4, kBottom - 4});
  std::string out;
  for (std::size_t i = 0; i < curves.size(); ++i) out += label(*curves[i], places[i].x, places[i].y, "");
  return out;
}

}  // namespace

std::string svg(const Plot& plot) {
  const bool labelled = plot.labels != Labels::none;
  std::string out = open_svg(plot.id, plot.title, plot.description, labelled ? "wide" : "half",
                             labelled ? kLabelledWidth : kWidth, kHeight);
  const Scales scales = scales_of(plot);
  for (const Tick& tick : scales.y.ticks()) {
    out += line(kLeft, tick.position, kRight, tick.position, tick.value == 0.0 ? "axis" : "grid");
    out += text(kLeft - 8, tick.position, "end", "tick", tick.label, "0.35em");
  }
  out += text(4, kTop, "start", "title", plot.y_title, "-1.55em");
  out += x_axis(scales.x, shortened(plot.x_title, kLongestTitle) + plot.x_hint, kLeft, kTop, kBottom, false);
  if (plot.y_limit && scales.limit_shown) {
    const double y = scales.y(*plot.y_limit);
    out += line(kLeft, y, kRight, y, "limit") + text(kRight - 4, y, "end", "note", plot.y_limit_label, "-0.4em");
  } else if (plot.y_limit) {
    out += text(kRight - 4, kTop, "end", "note",
                fmt::format("\u2191 {}: {}", plot.y_limit_label, significant(*plot.y_limit)), "-0.3em");
  }
  if (plot.x_unedited) {
    const double x = scales.x(*plot.x_unedited);
    const bool left = x > 0.5 * (kLeft + kRight);
    // Near the unedited networks little is lost: this height is free.
    out += line(x, kTop, x, kBottom, "limit") +
           text(left ? x - 5 : x + 5, kTop + 0.3 * (kBottom - kTop), left ? "end" : "start", "note", "unedited");
  }
  std::vector<const Curve*> curves;
  for (const Curve& curve : plot.curves)
    if (!curve.points.empty()) curves.push_back(&curve);
  if (plot.y_most)
    out += fmt::format(
        "<clipPath id=\"{0}-c\"><path d=\"M{1},{2}H{3}V{4}H{1}Z\"/></clipPath>\n<g clip-path=\"url(#{0}-c)\">\n",
        escaped(plot.id), kLeft, kTop - 8, kRight, kHeight);
  for (auto curve = curves.rbegin(); curve != curves.rend(); ++curve) out += drawn(**curve, scales);
  if (plot.y_most) out += "</g>\n";
  if (plot.labels == Labels::right) out += labels_right(curves, scales);
  if (plot.labels == Labels::beside) out += labels_beside(curves, scales);
  return out + "</svg>\n";
}

std::string svg(const DotPlot& plot) {
  constexpr double kRow = 50, kRowsTop = 8;
  const double bottom = kRowsTop + kRow * static_cast<double>(plot.rows.size()) + 10;
  std::string out = open_svg(plot.id, plot.title, plot.description, "half", kWidth, bottom + 68);
  std::vector<double> values;
  for (const DotRow& row : plot.rows) values.insert(values.end(), {row.mean, row.interval.low, row.interval.high});
  const Scale x = Scale::linear(values, 36, kRight - 8);
  out += x_axis(x, plot.x_title, 4, kRowsTop, bottom, true);
  double top = kRowsTop;
  for (const DotRow& row : plot.rows) {
    const double y = top + 36, at = x(row.mean);
    out += fmt::format("<g class=\"{}{}\">\n", mark_class(row.method), row.method == 0 ? " own" : "");
    out += text(4, top + 16, "start", "name", shortened(row.label, 40)) +
           text(kRight, top + 16, "end", "name", decimals(row.mean, 3));
    out += line(4, y, kRight, y, "grid");
    out += line(x(row.interval.low), y, x(row.interval.high), y, "range");
    out += mark(row.method, at, y, 6) + "</g>\n";
    top += kRow;
  }
  return out + "</svg>\n";
}

}  // namespace amend::page
