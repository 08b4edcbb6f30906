#include "app/comparison_summary.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace amend {
namespace {

/// Milliseconds per network, over all settings.
double mean_milliseconds(const ComparedMethod& method) {
  double sum = 0.0;
  for (const ComparedPoint& point : method.points) sum += 1e3 * point.seconds;
  return sum / static_cast<double>(method.points.size());
}

/// Hypervolume by which methods are ordered; those without divergence come last.
double order_of(const ComparedMethod& method) {
  return method.divergence_volume ? method.divergence_volume->volume.mean : -1.0 + method.accuracy_volume.volume.mean;
}

std::string volume_text(const ComparedVolume& volume) {
  return fmt::format("{:.4f} ({:.4f}, {:.4f})", volume.volume.mean, volume.volume.interval.low,
                     volume.volume.interval.high);
}

}  // namespace

std::string comparison_text(const Comparison& comparison) {
  std::string out;
  for (const ComparisonTable& table : comparison.tables) {
    out += fmt::format("\n{} on {}: {} networks {}, {} audit rows\n", table.requirement, comparison.dataset,
                       table.network.size(), table.networks, comparison.rows);
    out += fmt::format("  {:<52} {:>24} {:>6}  {:>24} {:>6} {:>9}\n", "hypervolume (95% interval over networks)",
                       "divergence", "beaten", "accuracy", "beaten", "ms/net");
    std::vector<const ComparedMethod*> methods;
    for (const ComparedMethod& method : table.methods) methods.push_back(&method);
    std::stable_sort(methods.begin(), methods.end(),
                     [](const ComparedMethod* a, const ComparedMethod* b) { return order_of(*a) > order_of(*b); });
    for (const ComparedMethod* method : methods) {
      const bool first = method == &table.methods.front();
      const auto beaten = [&](const ComparedVolume& volume) {
        return first ? std::string() : fmt::format("{:.0f}%", 100.0 * volume.editor_wins);
      };
      out += fmt::format("{} {:<52} {:>24} {:>6}  {:>24} {:>6} {:>9.2f}\n", first ? "*" : " ", method->title,
                         method->divergence_volume ? volume_text(*method->divergence_volume) : "",
                         method->divergence_volume ? beaten(*method->divergence_volume) : "",
                         volume_text(method->accuracy_volume), beaten(method->accuracy_volume),
                         mean_milliseconds(*method));
    }
  }
  return out + "\n* the editor that the others are held against; beaten: share of the networks where it is better\n";
}

}  // namespace amend
