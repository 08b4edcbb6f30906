#include "requirements/comparison/front.hpp"

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"

namespace amend {

std::vector<FrontPoint> pareto_front(std::span<const FrontPoint> points) {
  std::vector<FrontPoint> sorted(points.begin(), points.end()), front;
  std::sort(sorted.begin(), sorted.end(), [](const FrontPoint& a, const FrontPoint& b) {
    return a.requirement != b.requirement ? a.requirement < b.requirement : a.loss < b.loss;
  });
  for (const FrontPoint& point : sorted)
    if (front.empty() || point.loss < front.back().loss) front.push_back(point);
  return front;
}

double hypervolume(std::span<const FrontPoint> points, const FrontPoint& reference) {
  check(std::isfinite(reference.requirement) && reference.requirement > 0.0 && std::isfinite(reference.loss) &&
            reference.loss > 0.0,
        "hypervolume", "expected a reference above 0, got ", reference.requirement, " and ", reference.loss);
  std::vector<FrontPoint> inside;
  for (const FrontPoint& point : points) {
    check(std::isfinite(point.requirement) && std::isfinite(point.loss), "hypervolume", "expected finite points, got ",
          point.requirement, " and ", point.loss);
    const FrontPoint kept{std::max(point.requirement, 0.0), std::max(point.loss, 0.0)};
    if (kept.requirement < reference.requirement && kept.loss < reference.loss) inside.push_back(kept);
  }
  // From left to right, every point adds the strip below the loss of the one before it.
  double area = 0.0, ceiling = reference.loss;
  for (const FrontPoint& point : pareto_front(inside)) {
    area += (reference.requirement - point.requirement) * (ceiling - point.loss);
    ceiling = point.loss;
  }
  return area / (reference.requirement * reference.loss);
}

}  // namespace amend
