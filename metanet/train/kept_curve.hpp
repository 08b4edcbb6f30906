#pragma once

#include <vector>

namespace amend {

/// How much an editor keeps at which strength of a requirement that closes gates: the mean over validation networks,
/// the other requirements off. In the unit of a budget, see `stage_limits`.
struct KeptCurve {
  std::vector<double> kept;  // at strengths 0, 1 / (size - 1), ..., 1; empty: not known

  bool known() const { return kept.size() > 1; }
  /// The least strength whose edits keep `budget` on average, interpolated in the logarithm; 0 or 1 where the range of
  /// the editor ends before.
  double strength_for(double budget) const;
};

/// Strengths that a curve is measured at.
inline constexpr int kKeptStrengths = 17;

}  // namespace amend
