#pragma once

#include <span>
#include <vector>

namespace amend {

/// What an edit asks for and what it costs; of both, less is better.
struct FrontPoint {
  double requirement = 0.0;
  double loss = 0.0;
};

/// The points that no other point dominates (is at most equal in both and less in one), by ascending requirement; of
/// equal points one.
std::vector<FrontPoint> pareto_front(std::span<const FrontPoint> points);

/// Share of the rectangle between (0, 0) and `reference` that `points` dominate, 0 to 1: the hypervolume indicator of
/// Zitzler and Thiele, *Multiobjective evolutionary algorithms*, IEEE Trans. Evol. Comp. 3(4), 1999, divided by the
/// rectangle's area. Losses below 0 count as 0, points outside the rectangle dominate nothing. No interpolation:
/// between two settings only what the points themselves dominate counts. Throws Error unless both sides of the
/// rectangle are finite and positive and every point is finite.
double hypervolume(std::span<const FrontPoint> points, const FrontPoint& reference);

}  // namespace amend
