#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "requirements/comparison/comparison.hpp"

namespace amend::page {

/// A method at one setting over the networks of a table: means with 95% bootstrap intervals over networks.
struct PointStatistics {
  ComparedMean requirement;
  std::optional<ComparedMean> divergence;  // absent when a network has none
  ComparedMean drop;                       // points
  std::size_t worst = 0;                   // the network that loses most accuracy
  double worst_drop = 0.0;                 // points it loses
  std::size_t losing = 0;                  // networks that lose more than one point
};

struct TableStatistics {
  std::vector<std::vector<PointStatistics>> points;                      // (methods, points)
  double unedited = 0.0, constant_divergence = 0.0, useless_drop = 0.0;  // means over networks
};

/// Of a table with at least one network.
TableStatistics statistics_of(const ComparisonTable& table);

/// Mean over the settings of the time for one network; 0 for a method without settings.
double mean_seconds(const ComparedMethod& method);

/// Whether the editor and another method have a hypervolume by divergence: then that one decides, else the one by
/// accuracy, which all have.
bool by_divergence(const ComparisonTable& table);

}  // namespace amend::page
