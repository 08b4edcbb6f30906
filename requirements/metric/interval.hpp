#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace amend {

/// A 95% confidence interval.
struct Interval {
  double low = 0.0;
  double high = 0.0;
};

/// Wilson's score interval of a rate (Wilson, JASA 22, 1927; no continuity correction). `successes` need not be whole:
/// a rate averaged over networks that were measured on the same `trials` rows may be given as rate * trials. Throws
/// Error unless 0 <= successes <= trials and trials > 0.
Interval wilson_interval(double successes, std::int64_t trials);

/// Arithmetic mean. Throws Error when there are no values.
double mean(std::span<const double> values);

/// Interval of rate1 - rate2 of two independent samples: Newcombe, Statistics in Medicine 17, 1998, method 10, which
/// combines two Wilson intervals.
Interval newcombe_interval(double successes1, std::int64_t trials1, double successes2, std::int64_t trials2);

/// Interval of estimate1 + estimate2, independent and each with its own interval: the method of variance estimates
/// recovery (Zou and Donner, Statistics in Medicine 27, 2008), of which Newcombe's is a special case.
Interval sum_interval(double estimate1, const Interval& interval1, double estimate2, const Interval& interval2);

inline constexpr int kBootstrapReplicates = 1000;

/// Percentile bootstrap intervals of the means of several series measured on the same units (rows, or networks):
/// values (series, units). One replicate draws the units once for all series, so that differences of series are paired.
/// The draw depends on `seed` and the number of units alone, not on threads. Percentiles interpolate linearly.
/// Throws Error when there are no units or values do not divide into series.
std::vector<Interval> bootstrap_intervals(std::span<const double> values, std::int64_t series, std::uint64_t seed,
                                          int replicates = kBootstrapReplicates);

}  // namespace amend
