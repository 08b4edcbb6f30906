#include "app/page/label_places.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace amend::page {
namespace {

double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  return width > 0.0 && height > 0.0 ? width * height : 0.0;
}

}  // namespace

std::vector<double> spread(const std::vector<double>& wanted, double gap, double top, double bottom) {
  std::vector<std::size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  // Labels that meet form a group about the mean of where they belong; groups that meet then join.
  struct Group {
    double sum = 0.0;
    std::size_t count = 0;
    double begin = 0.0;
  };
  std::vector<Group> groups;
  for (std::size_t i : order) {
    groups.push_back({wanted[i], 1, std::clamp(wanted[i], top, std::max(top, bottom))});
    while (groups.size() > 1) {
      const Group last = groups.back();
      Group& before = groups[groups.size() - 2];
      if (before.begin + gap * static_cast<double>(before.count) <= last.begin) break;
      before.sum += last.sum, before.count += last.count;
      const double extent = gap * static_cast<double>(before.count - 1);
      before.begin = before.sum / static_cast<double>(before.count) - 0.5 * extent;
      before.begin = std::max(top, std::min(before.begin, bottom - extent));
      groups.pop_back();
    }
  }
  std::vector<double> places(wanted.size());
  std::size_t next = 0;
  for (const Group& group : groups)
    for (std::size_t k = 0; k < group.count; ++k) places[order[next++]] = group.begin + gap * static_cast<double>(k);
  return places;
}

std::vector<LabelPlace> beside(const std::vector<LabelledPoint>& points, double height, const Box& frame) {
  std::vector<Box> taken;
  for (const LabelledPoint& point : points) taken.push_back({point.x - 7, point.y - 7, point.x + 7, point.y + 7});
  std::vector<LabelPlace> places;
  for (const LabelledPoint& point : points) {
    double least = std::numeric_limits<double>::infinity();
    Box best;
    for (double away : {0.0, 1.1, 2.2}) {
      const double shift = away * height;
      for (const auto& [x, y] : {std::pair{point.x + 10, point.y - shift},
                                 {point.x + 10, point.y + shift},
                                 {point.x - 10 - point.width, point.y - shift},
                                 {point.x - 10 - point.width, point.y + shift},
                                 {point.x - 0.5 * point.width, point.y - 0.5 * height - 9 - shift},
                                 {point.x - 0.5 * point.width, point.y + 0.5 * height + 9 + shift}}) {
        const Box box{x, y - 0.5 * height, x + point.width, y + 0.5 * height};
        double cost = 2.0 * away + 3.0 * (point.width * height - overlap(box, frame));
        for (const Box& other : taken) cost += overlap(box, other);
        if (cost < least) least = cost, best = box;
      }
    }
    taken.push_back(best);
    places.push_back({best.left, best.bottom - 0.22 * height});
  }
  return places;
}

double text_width(const std::string& text, double size) {
  const auto letters =
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; });
  return 0.52 * size * static_cast<double>(letters);
}

}  // namespace amend::page
