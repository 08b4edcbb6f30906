#include "app/page/statistics.hpp"

#include <algorithm>

namespace amend::page {
namespace {

constexpr std::uint64_t kSeed = 1;

double mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

TableStatistics statistics_of(const ComparisonTable& table) {
  TableStatistics result{.points = std::vector<std::vector<PointStatistics>>(table.methods.size()),
                         .unedited = mean_of(table.unedited),
                         .constant_divergence = mean_of(table.constant_divergence),
                         .useless_drop = mean_of(table.useless_drop)};
  // All series of the table at once: the same draws of networks for all.
  std::vector<double> values;        // (series, networks)
  std::vector<ComparedMean*> means;  // (series)
  const auto add = [&](ComparedMean& mean, const auto& value_of, const ComparedPoint& point) {
    means.push_back(&mean);
    for (const ComparedNetwork& network : point.network) values.push_back(value_of(network));
  };
  for (std::size_t m = 0; m < table.methods.size(); ++m) {
    result.points[m].resize(table.methods[m].points.size());
    for (std::size_t p = 0; p < result.points[m].size(); ++p) {
      const ComparedPoint& point = table.methods[m].points[p];
      PointStatistics& own = result.points[m][p];
      add(
          own.requirement, [](const ComparedNetwork& network) { return network.requirement; }, point);
      add(
          own.drop, [](const ComparedNetwork& network) { return network.accuracy_drop; }, point);
      if (std::all_of(point.network.begin(), point.network.end(), [](const auto& n) { return n.divergence; }))
        add(
            own.divergence.emplace(), [](const ComparedNetwork& network) { return *network.divergence; }, point);
      for (std::size_t n = 0; n < point.network.size(); ++n) {
        if (point.network[n].accuracy_drop > point.network[own.worst].accuracy_drop) own.worst = n;
        if (point.network[n].accuracy_drop > 1.0) ++own.losing;
      }
      own.worst_drop = point.network[own.worst].accuracy_drop;
    }
  }
  const auto networks = static_cast<std::ptrdiff_t>(table.network.size());
  const auto intervals = bootstrap_intervals(values, static_cast<std::int64_t>(means.size()), kSeed);
  for (std::size_t s = 0; s < means.size(); ++s) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(s) * networks;
    *means[s] = {mean_of({begin, begin + networks}), intervals[s]};
  }
  return result;
}

double mean_seconds(const ComparedMethod& method) {
  double sum = 0.0;
  for (const ComparedPoint& point : method.points) sum += point.seconds;
  return method.points.empty() ? 0.0 : sum / static_cast<double>(method.points.size());
}

bool by_divergence(const ComparisonTable& table) {
  const auto has = [](const ComparedMethod& method) { return method.divergence_volume.has_value(); };
  const auto& methods = table.methods;
  return !methods.empty() && has(methods.front()) &&
         (methods.size() == 1 || std::any_of(methods.begin() + 1, methods.end(), has));
}

}  // namespace amend::page
