#pragma once

#include <string>
#include <vector>

namespace amend::page {

struct Tick {
  double value = 0.0;
  double position = 0.0;
  std::string label;
};

/// Maps values to positions on an axis, with ticks at round values.
class Scale {
 public:
  /// Covers all `values` from `from` to `to` (positions; `to` may be the smaller). Equal values, or none, get room
  /// around them.
  static Scale linear(const std::vector<double>& values, double from, double to);
  /// The same on a logarithmic axis. It has no place for zero and less: these lie at the end of the small values,
  /// behind a gap, as `0`.
  static Scale logarithmic(const std::vector<double>& values, double from, double to);

  double operator()(double value) const;
  const std::vector<Tick>& ticks() const { return ticks_; }
  /// Where the gap is that sets zero apart; negative when there is none.
  double gap() const { return gap_; }

 private:
  double low_ = 0.0, high_ = 1.0;  // of the values, or of their logarithms
  double from_ = 0.0, to_ = 1.0;
  bool logarithmic_ = false;
  double zero_ = 0.0;  // position of zero on a logarithmic axis
  double gap_ = -1.0;
  std::vector<Tick> ticks_;
};

}  // namespace amend::page
