#include "app/page/scale.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/page/html_text.hpp"

namespace amend::page {
namespace {

constexpr double kZeroRoom = 0.1;  // of a logarithmic axis, for zero

/// 1, 2 or 5 times a power of ten: the step that divides `span` into three to six parts.
double round_step(double span) {
  const double rough = span / 6.0, power = std::pow(10.0, std::floor(std::log10(rough)));
  for (double factor : {1.0, 2.0, 5.0})
    if (rough <= factor * power) return factor * power;
  return 10.0 * power;
}

std::string tick_label(double value, double step) {
  const double size = std::max(std::abs(value), step);
  if (size >= 1e6 || step < 1e-6) return fmt::format("{:.2g}", value);
  return decimals(value, std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9))));
}

struct RoundValue {
  double value;
  std::string label;
};

std::vector<RoundValue> round_values(double low, double high) {
  const double step = round_step(high - low);
  std::vector<RoundValue> values;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1.0)
    values.push_back({k * step, tick_label(k * step, step)});
  return values;
}

/// At least four of 1, 2, 5 (or all digits) times powers of ten; where the axis is too short, as on a linear axis.
std::vector<RoundValue> round_logarithms(double low, double high) {
  const std::vector<std::vector<double>> choices{{1}, {1, 3}, {1, 2, 5}, {1, 2, 3, 4, 5, 6, 8}};
  const double decades = std::max(1.0, std::ceil((high - low) / 8.0));
  for (const auto& digits : choices) {
    std::vector<RoundValue> values;
    for (double power = std::floor(low); power <= high; power += decades)
      for (double digit : digits)
        if (const double at = power + std::log10(digit); at >= low - 1e-9 && at <= high + 1e-9)
          values.push_back(
              {digit * std::pow(10.0, power), tick_label(digit * std::pow(10.0, power), std::pow(10.0, power))});
    if (values.size() >= 4) return values;
  }
  return round_values(std::pow(10.0, low), std::pow(10.0, high));
}

}  // namespace

Scale Scale::linear(const std::vector<double>& values, double from, double to) {
  Scale scale;
  scale.from_ = from, scale.to_ = to;
  if (!values.empty()) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    scale.low_ = *low, scale.high_ = *high;
  }
  if (scale.high_ - scale.low_ <= 1e-9 * std::max(std::abs(scale.high_), std::abs(scale.low_))) {
    const double room = scale.high_ == 0.0 ? 1.0 : 0.5 * std::abs(scale.high_);
    scale.low_ -= scale.low_ == 0.0 ? 0.0 : room;
    scale.high_ += room;
  }
  const double step = round_step(scale.high_ - scale.low_);
  // Half steps keep the data off the frame without leaving much of it empty.
  scale.low_ = std::floor(2.0 * scale.low_ / step + 1e-9) * 0.5 * step;
  scale.high_ = std::ceil(2.0 * scale.high_ / step - 1e-9) * 0.5 * step;
  for (RoundValue& value : round_values(scale.low_, scale.high_))
    scale.ticks_.push_back({value.value, scale(value.value), std::move(value.label)});
  return scale;
}

Scale Scale::logarithmic(const std::vector<double>& values, double from, double to) {
  Scale scale;
  scale.logarithmic_ = true;
  scale.from_ = from, scale.to_ = to, scale.zero_ = from;
  std::vector<double> logarithms;
  for (double value : values)
    if (value > 0.0) logarithms.push_back(std::log10(value));
  if (logarithms.size() < values.size()) {
    scale.from_ = from + kZeroRoom * (to - from);
    scale.gap_ = from + 0.5 * kZeroRoom * (to - from);
    scale.ticks_.push_back({0.0, from, "0"});
  }
  if (logarithms.empty()) logarithms = {-1.0, 0.0};
  const auto [low, high] = std::minmax_element(logarithms.begin(), logarithms.end());
  const double room = std::max(0.03 * (*high - *low), *high - *low < 0.05 ? 0.3 : 0.02);
  scale.low_ = *low - room, scale.high_ = *high + room;
  for (RoundValue& value : round_logarithms(scale.low_, scale.high_))
    scale.ticks_.push_back({value.value, scale(value.value), std::move(value.label)});
  return scale;
}

double Scale::operator()(double value) const {
  if (logarithmic_ && value <= 0.0) return zero_;
  const double at = logarithmic_ ? std::log10(value) : value;
  return from_ + (at - low_) / (high_ - low_) * (to_ - from_);
}

}  // namespace amend::page
