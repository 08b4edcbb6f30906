#pragma once

#include <span>
#include <vector>

namespace amend {

/// Maximise value . x over x >= 0 with constraint x <= limit.
struct LinearProgram {
  std::vector<double> value;       // (variables)
  std::vector<double> constraint;  // (constraints, variables), row-major
  std::vector<double> limit;       // (constraints), none negative: x = 0 is allowed
};

/// An optimal corner, by the primal simplex on a dense tableau with the rule of Bland, *New finite pivoting rules for
/// the simplex method*, Mathematics of Operations Research 2, 1977, which cannot go in circles. For problems of a few
/// hundred numbers whose coefficients are about 1: what is below 1e-11 counts as zero. Throws Error when sizes
/// disagree, a limit is negative or the value has no bound.
std::vector<double> maximise(const LinearProgram& program);

}  // namespace amend
