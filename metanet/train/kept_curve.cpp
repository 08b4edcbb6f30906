#include "metanet/train/kept_curve.hpp"

#include <algorithm>
#include <cmath>

namespace amend {

namespace {

/// Of what is kept, as far as logarithms go.
constexpr double kLeast = 1e-4;

}  // namespace

double KeptCurve::strength_for(double budget) const {
  const auto logarithm = [](double value) { return std::log(std::max(value, kLeast)); };
  const double wanted = logarithm(budget);
  double before = 0.0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const double here = logarithm(kept[i]);
    if (here <= wanted) {
      if (i == 0) return 0.0;
      return (static_cast<double>(i - 1) + (before - wanted) / (before - here)) / static_cast<double>(kept.size() - 1);
    }
    before = here;
  }
  return 1.0;
}

}  // namespace amend
