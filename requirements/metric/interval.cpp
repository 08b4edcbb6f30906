#include "requirements/metric/interval.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "engine/random.hpp"

namespace amend {
namespace {

constexpr double kNormal975 = 1.959963984540054;    // 97.5% quantile of the standard normal
constexpr std::uint32_t kBootstrapStream = 0x626f;  // "bo"

double percentile(const std::vector<double>& sorted, double share) {
  const double position = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t next = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[next] - sorted[below]);
}

}  // namespace

Interval wilson_interval(double successes, std::int64_t trials) {
  check(trials > 0 && successes >= 0 && successes <= static_cast<double>(trials), "wilson_interval", "got ", successes,
        " successes in ", trials, " trials");
  const double n = static_cast<double>(trials), rate = successes / n, z2 = kNormal975 * kNormal975;
  const double centre = (rate + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal975 / (1 + z2 / n) * std::sqrt(rate * (1 - rate) / n + z2 / (4 * n * n));
  // At the ends the formula gives 0 and 1 but for rounding.
  return {successes <= 0 ? 0.0 : std::max(0.0, centre - half), successes >= n ? 1.0 : std::min(1.0, centre + half)};
}

double mean(std::span<const double> values) {
  check(!values.empty(), "mean", "got no values");
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Interval newcombe_interval(double successes1, std::int64_t trials1, double successes2, std::int64_t trials2) {
  const Interval first = wilson_interval(successes1, trials1), second = wilson_interval(successes2, trials2);
  return sum_interval(successes1 / static_cast<double>(trials1), first, -successes2 / static_cast<double>(trials2),
                      {-second.high, -second.low});
}

Interval sum_interval(double estimate1, const Interval& interval1, double estimate2, const Interval& interval2) {
  const double sum = estimate1 + estimate2;
  return {sum - std::hypot(estimate1 - interval1.low, estimate2 - interval2.low),
          sum + std::hypot(interval1.high - estimate1, interval2.high - estimate2)};
}

std::vector<Interval> bootstrap_intervals(std::span<const double> values, std::int64_t series, std::uint64_t seed,
                                          int replicates) {
  if (series == 0) return {};
  const std::int64_t units = static_cast<std::int64_t>(values.size()) / series;
  check(units > 0 && units * series == static_cast<std::int64_t>(values.size()) && replicates > 1,
        "bootstrap_intervals", "got ", values.size(), " values for ", series, " series and ", replicates,
        " replicates");
  const auto replicate_count = static_cast<std::size_t>(replicates);
  std::vector<double> mean(static_cast<std::size_t>(series) * replicate_count);  // (series, replicates)
  parallel_for(replicates, [&](std::int64_t replicate) {
    // How often each unit was drawn; a mean is then one product of two vectors.
    std::vector<double> drawn(static_cast<std::size_t>(units), 0.0);
    const RandomStream random(seed, kBootstrapStream, static_cast<std::uint32_t>(replicate));
    for (std::int64_t i = 0; i < units; ++i)
      drawn[random.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(units))] += 1.0;
    for (std::int64_t s = 0; s < series; ++s) {
      const double* value = values.data() + s * units;
      double sum = 0.0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t i = 0; i < units; ++i) sum += drawn[static_cast<std::size_t>(i)] * value[i];
      mean[static_cast<std::size_t>(s) * replicate_count + static_cast<std::size_t>(replicate)] =
          sum / static_cast<double>(units);
    }
  });
  std::vector<Interval> intervals(static_cast<std::size_t>(series));
  parallel_for(series, [&](std::int64_t s) {
    const auto begin = mean.begin() + s * replicates;
    std::vector<double> sorted(begin, begin + replicates);
    std::sort(sorted.begin(), sorted.end());
    intervals[static_cast<std::size_t>(s)] = {percentile(sorted, 0.025), percentile(sorted, 0.975)};
  });
  return intervals;
}

}  // namespace amend
