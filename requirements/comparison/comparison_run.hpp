#pragma once

#include <functional>
#include <string>

#include "engine/device.hpp"
#include "requirements/comparison/comparison.hpp"
#include "requirements/comparison/comparison_config.hpp"

namespace amend {

/// Told what is being done, and how many steps of how many are.
using ComparisonProgress = std::function<void(const std::string& what, std::size_t done, std::size_t all)>;

/// Edits the held-out networks of the population with every method at every setting and measures them on audit rows.
/// Networks whose shape no training network has get tables of their own. Learning rates are chosen on validation
/// networks and validation rows: at every setting the one of least mean divergence (towards labels: least mean drop in
/// accuracy). Throws InputError when population, editors and data do not fit together, or groups lack evidence.
/// Editors and fine-tuning run on `device`, everything else on the CPU.
Comparison compare(const ComparisonConfig& config, Device device = {}, const ComparisonProgress& progress = {});

/// Points lost at which a network counts as useless in the hypervolume of accuracy.
inline constexpr double kUselessDrop = 5.0;

}  // namespace amend
