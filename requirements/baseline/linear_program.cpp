#include "requirements/baseline/linear_program.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "engine/error.hpp"

namespace amend {
namespace {

constexpr double kZero = 1e-11;
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

/// Rows are basic variables, columns those at zero: basic_r = right_r - sum_c cell_rc x_c. The last row is the value,
/// with reduced costs negated.
class Tableau {
 public:
  explicit Tableau(const LinearProgram& program)
      : rows_(program.limit.size()),
        cols_(program.value.size()),
        cell_((rows_ + 1) * (cols_ + 1), 0.0),
        basic_(rows_),
        at_zero_(cols_) {
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t c = 0; c < cols_; ++c) at(r, c) = program.constraint[r * cols_ + c];
      at(r, cols_) = program.limit[r];
    }
    for (std::size_t c = 0; c < cols_; ++c) at(rows_, c) = -program.value[c];
    std::iota(at_zero_.begin(), at_zero_.end(), std::size_t{0});
    std::iota(basic_.begin(), basic_.end(), cols_);
  }

  /// The variable of least number that raises the value, as a column.
  std::size_t entering() const {
    std::size_t best = kNone;
    for (std::size_t c = 0; c < cols_; ++c)
      if (at(rows_, c) < -kZero && (best == kNone || at_zero_[c] < at_zero_[best])) best = c;
    return best;
  }

  /// The row that bounds the entering column most; of equals that of the variable of least number.
  std::size_t leaving(std::size_t column) const {
    std::size_t best = kNone;
    double least = 0.0;
    for (std::size_t r = 0; r < rows_; ++r) {
      if (at(r, column) <= kZero) continue;
      const double ratio = at(r, cols_) / at(r, column);
      const bool smaller = best == kNone || ratio < least - kZero;
      if (smaller || (ratio <= least + kZero && basic_[r] < basic_[best])) {
        least = best == kNone ? ratio : std::min(least, ratio);
        best = r;
      }
    }
    return best;
  }

  void exchange(std::size_t row, std::size_t column) {
    const double pivot = at(row, column);
    for (std::size_t c = 0; c <= cols_; ++c) at(row, c) /= pivot;
    for (std::size_t r = 0; r <= rows_; ++r) {
      const double factor = at(r, column);
      if (r == row || factor == 0.0) continue;
      for (std::size_t c = 0; c <= cols_; ++c)
        if (c != column) at(r, c) -= factor * at(row, c);
      at(r, column) = -factor / pivot;
      // Rounding must not leave the allowed region.
      if (r < rows_ && std::abs(at(r, cols_)) < kZero) at(r, cols_) = 0.0;
    }
    at(row, column) = 1.0 / pivot;
    std::swap(basic_[row], at_zero_[column]);
  }

  std::vector<double> solution() const {
    std::vector<double> x(cols_, 0.0);
    for (std::size_t r = 0; r < rows_; ++r)
      if (basic_[r] < cols_) x[basic_[r]] = at(r, cols_);
    return x;
  }

 private:
  double& at(std::size_t row, std::size_t column) { return cell_[row * (cols_ + 1) + column]; }
  double at(std::size_t row, std::size_t column) const { return cell_[row * (cols_ + 1) + column]; }

  std::size_t rows_, cols_;
  std::vector<double> cell_;          // (rows + 1, cols + 1)
  std::vector<std::size_t> basic_;    // (rows): number of the variable; slacks come after the program's own
  std::vector<std::size_t> at_zero_;  // (cols)
};

}  // namespace

std::vector<double> maximise(const LinearProgram& program) {
  const std::size_t rows = program.limit.size(), cols = program.value.size();
  check(program.constraint.size() == rows * cols, "maximise", "got ", program.constraint.size(), " coefficients for ",
        rows, " constraints on ", cols, " variables");
  for (const double limit : program.limit) check(limit >= 0.0, "maximise", "expected limits of 0 or more, got ", limit);
  Tableau tableau(program);
  // Exact arithmetic ends by itself; this many exchanges mean that rounding leads in a circle.
  const std::size_t most = 1000 * (rows + cols + 1);
  for (std::size_t step = 0; step < most; ++step) {
    const std::size_t column = tableau.entering();
    if (column == kNone) return tableau.solution();
    const std::size_t row = tableau.leaving(column);
    check(row != kNone, "maximise", "the value has no bound");
    tableau.exchange(row, column);
  }
  fail("maximise", "no optimum after ", most, " exchanges");
}

}  // namespace amend
