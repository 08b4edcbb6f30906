#include "app/page/figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "app/page/html_text.hpp"
#include "app/page/mark.hpp"
#include "app/page/plot.hpp"
#include "app/page/verdict.hpp"

namespace amend::page {
namespace {

constexpr const char* kIgnoring = "useless network";

/// Hands out numbers, `2.3`, and ids, and frames plots.
class Figures {
 public:
  Figures(const ComparisonTable& table, std::size_t number) : table_(table), number_(number) {}

  template <class AnyPlot>
  std::string figure(AnyPlot plot, const std::string& caption) {
    ++count_;
    plot.id = fmt::format("figure-{}-{}", number_, count_);
    return fmt::format(
        "<figure class=\"{}\">\n<div class=\"frame\">{}</div>\n<figcaption><b>Figure {}.{}.</b> {}</figcaption>\n"
        "</figure>\n",
        std::is_same_v<AnyPlot, Plot> ? "curves" : "rows", svg(plot), number_, count_, escaped(caption));
  }
  /// A plot against the requirement; `value_of` makes a point from its statistics, or nothing.
  template <class ValueOf>
  Plot front(const TableStatistics& statistics, const ValueOf& value_of) const {
    Plot plot{
        .x_title = table_.axis, .x_hint = ", stricter \u2192", .x_logarithmic = table_.logarithmic, .x_reversed = true};
    for (std::size_t m = 0; m < table_.methods.size(); ++m) {
      Curve curve{m, label_of(table_.methods[m]), {}};
      for (std::size_t p = 0; p < statistics.points[m].size(); ++p) {
        const PointStatistics& point = statistics.points[m][p];
        std::optional<PlotPoint> made = value_of(point);
        if (!made) continue;
        made->x = point.requirement.mean;
        made->tip = fmt::format("{}, {}: at {}, {}", curve.label, table_.methods[m].points[p].setting,
                                significant(made->x), made->tip);
        curve.points.push_back(std::move(*made));
      }
      plot.curves.push_back(std::move(curve));
    }
    return plot;
  }

 private:
  const ComparisonTable& table_;
  std::size_t number_, count_ = 0;
};

/// What a plot of curves shows, for those who do not see it.
std::string described(const Plot& plot) {
  std::string out = fmt::format("{} by {}.", plot.y_title, plot.x_title);
  for (const Curve& curve : plot.curves)
    if (!curve.points.empty())
      out += fmt::format(
          " {}: {} at {}{}.", curve.label, significant(curve.points.front().y), significant(curve.points.front().x),
          curve.points.size() == 1
              ? std::string()
              : fmt::format(", to {} at {}", significant(curve.points.back().y), significant(curve.points.back().x)));
  return out;
}

std::string left_out(std::size_t methods) {
  if (methods == 0) return "";
  return methods == 1 ? " One method has no divergence and is not shown."
                      : fmt::format(" {} methods have no divergence and are not shown.", methods);
}

std::string legend(const ComparisonTable& table) {
  std::string out = "<ul class=\"legend\" aria-label=\"Methods\">\n";
  for (std::size_t m = 0; m < table.methods.size(); ++m)
    out += fmt::format("<li data-method=\"m{}\"{}>{}<span>{} <small>{}</small></span></li>\n", m,
                       m == 0 ? " class=\"own\"" : "", sample(m), escaped(label_of(table.methods[m])),
                       escaped(words_of(table.methods[m].kind)));
  return out + "</ul>\n";
}

/// Room for three times what the editor loses at most, and for `least`: a method that is far worse would press all
/// others onto the axis.
void limit_height(Plot& plot, double least) {
  double own = least, highest = 0.0;
  for (const Curve& curve : plot.curves)
    for (const PlotPoint& point : curve.points) {
      if (curve.method == 0) own = std::max(own, 3.0 * point.y);
      highest = std::max(highest, point.y);
    }
  if (highest > own && own > 0.0) plot.y_most = own;
}

std::string of_limit(const Plot& plot) {
  return plot.y_most ? " Curves of methods that lose over three times as much as the editor leave the plot at its top."
                     : "";
}

std::string fronts(Figures& figures, const TableStatistics& statistics) {
  std::string out;
  Plot divergence = figures.front(statistics, [](const PointStatistics& point) {
    std::optional<PlotPoint> made;
    if (point.divergence)
      made = {.y = point.divergence->mean,
              .interval = point.divergence->interval,
              .tip = "divergence " + with_interval(*point.divergence, 4) + " nats"};
    return made;
  });
  divergence.title = "Divergence against requirement";
  divergence.y_title = "divergence, nats";
  divergence.x_unedited = statistics.unedited;
  divergence.y_limit = statistics.constant_divergence;
  divergence.y_limit_label = kIgnoring;
  divergence.labels = Labels::right;
  divergence.description = described(divergence);
  limit_height(divergence, 0.0);
  const bool any = std::any_of(divergence.curves.begin(), divergence.curves.end(),
                               [](const Curve& curve) { return !curve.points.empty(); });
  std::size_t without = 0;
  for (const Curve& curve : divergence.curves) without += curve.points.empty() ? 1 : 0;
  if (any)
    out += figures.figure(
        divergence,
        "How far the edited networks' predictions are from the originals' (Jensen-Shannon divergence, nats) as the "
        "requirement becomes stricter. Lower is better. Means over networks; the band and the whiskers are 95% "
        "bootstrap intervals of the mean." +
            of_limit(divergence) + left_out(without));
  else
    out += "<p>No method of this table has a divergence.</p>\n";

  Plot drop = figures.front(statistics, [](const PointStatistics& point) {
    return std::optional<PlotPoint>({.y = point.drop.mean,
                                     .interval = point.drop.interval,
                                     .tip = with_interval(point.drop, 2) + " points of accuracy lost"});
  });
  drop.title = "Accuracy lost against requirement";
  drop.y_title = "accuracy lost, points";
  drop.x_unedited = statistics.unedited;
  drop.y_limit = statistics.useless_drop;
  drop.y_limit_label = kIgnoring;
  drop.labels = Labels::right;
  drop.description = described(drop);
  limit_height(drop, 2.0);
  return out + figures.figure(drop,
                              "Points of accuracy that the edited networks lose on the audit rows. Below zero the "
                              "edit gained accuracy. Means over networks with 95% intervals as above." +
                                  of_limit(drop));
}

std::string volumes(Figures& figures, const ComparisonTable& table) {
  std::string out;
  for (const bool divergence : {true, false}) {
    const std::string measure = divergence ? "divergence" : "accuracy";
    DotPlot plot{.title = "Hypervolume by " + measure, .x_title = "hypervolume by " + measure};
    for (std::size_t m = 0; m < table.methods.size(); ++m)
      if (const ComparedVolume* volume = volume_of(table.methods[m], divergence))
        plot.rows.push_back({m, label_of(table.methods[m]), volume->volume.mean, volume->volume.interval});
    if (plot.rows.empty()) continue;
    std::stable_sort(plot.rows.begin(), plot.rows.end(),
                     [](const DotRow& a, const DotRow& b) { return a.mean > b.mean; });
    for (const DotRow& row : plot.rows)
      plot.description += fmt::format("{}: {}. ", row.label, with_interval({row.mean, row.interval}, 3));
    out += figures.figure(plot, fmt::format("Hypervolume by {}, larger is better; lines are 95% intervals of the mean. "
                                            "Methods in the order of their means.",
                                            measure));
  }
  return "<div class=\"pair\">\n" + out + "</div>\n";
}

std::string times(Figures& figures, const ComparisonTable& table) {
  const bool divergence = by_divergence(table);
  Plot plot{.title = "Time against hypervolume",
            .x_title = "milliseconds per network",
            .y_title = divergence ? "hypervolume by divergence" : "hypervolume by accuracy",
            .x_logarithmic = true,
            .y_from_zero = false,
            .labels = Labels::beside};
  std::size_t without = 0;
  for (std::size_t m = 0; m < table.methods.size(); ++m) {
    const ComparedMethod& method = table.methods[m];
    const ComparedVolume* volume = volume_of(method, divergence);
    if (!volume) ++without;
    if (!volume || method.points.empty()) continue;
    plot.curves.push_back({m,
                           label_of(method),
                           {{.x = 1e3 * mean_seconds(method),
                             .y = volume->volume.mean,
                             .interval = volume->volume.interval,
                             .tip = fmt::format("{}: hypervolume {}, {} per network", label_of(method),
                                                with_interval(volume->volume, 3), duration(mean_seconds(method)))}}});
  }
  if (plot.curves.empty()) return "<p>No time was measured.</p>\n";
  plot.description = described(plot);
  return figures.figure(plot,
                        "What quality costs: time to edit one network (mean over the settings, a batch's time "
                        "divided by its networks) against hypervolume. Up and to the left is better. Training the "
                        "editor itself is not included." +
                            left_out(without));
}

std::string worst_cases(Figures& figures, const ComparisonTable& table, const TableStatistics& statistics) {
  const double networks = static_cast<double>(table.network.size());
  Plot losing = figures.front(statistics, [&](const PointStatistics& point) {
    return std::optional<PlotPoint>(
        {.y = 100.0 * static_cast<double>(point.losing) / networks,
         .tip = fmt::format("{} of {} networks lose more than one point", point.losing, table.network.size())});
  });
  losing.title = "Networks that lose more than one point";
  losing.y_title = "networks losing over one point, %";
  losing.description = described(losing);
  Plot worst = figures.front(statistics, [&](const PointStatistics& point) {
    return std::optional<PlotPoint>(
        {.y = point.worst_drop,
         .tip = fmt::format("{} loses {} points", table.network[point.worst], decimals(point.worst_drop, 2))});
  });
  worst.title = "The worst network";
  worst.y_title = "worst network's loss, points";
  worst.description = described(worst);
  std::string out =
      figures.figure(losing, "Share of the networks that lose more than one point of accuracy. Lower is better.");
  out += figures.figure(worst, "Accuracy lost by the network that loses most at each setting. Lower is better.");
  return "<div class=\"pair\">\n" + out + "</div>\n";
}

}  // namespace

std::string figures_of(const ComparisonTable& table, const TableStatistics& statistics, std::size_t number) {
  Figures figures(table, number);
  std::string out = legend(table);
  out += "<h3>What the requirement costs</h3>\n" + fronts(figures, statistics);
  out += "<h3>Hypervolume</h3>\n" + volumes(figures, table);
  out += "<h3>Time</h3>\n" + times(figures, table);
  out += "<h3>Worst cases</h3>\n" + worst_cases(figures, table, statistics);
  return out;
}

}  // namespace amend::page
