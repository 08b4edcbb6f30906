#include "app/page/mark.hpp"

#include <fmt/format.h>

#include <array>

namespace amend::page {
namespace {

struct Shape {
  const char* path;  // within -1 to 1
  bool filled;
};

constexpr std::array<Shape, 10> kShapes{{{"M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z", true},
                                         {"M-.9,-.9H.9V.9H-.9Z", true},
                                         {"M0,-1.2L1.1,.9H-1.1Z", true},
                                         {"M0,-1.3L1.3,0L0,1.3L-1.3,0Z", true},
                                         {"M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z", false},
                                         {"M0,1.2L1.1,-.9H-1.1Z", true},
                                         {"M-.9,-.9H.9V.9H-.9Z", false},
                                         {"M-1,-1L1,1M-1,1L1,-1", false},
                                         {"M0,-1.3L1.3,0L0,1.3L-1.3,0Z", false},
                                         {"M0,-1.3V1.3M-1.3,0H1.3", false}}};
constexpr std::array<const char*, 5> kDashes{"none", "8 3", "2.5 2.5", "9 3 2 3", "14 4"};
constexpr std::size_t kColours = 7;  // beside the editor's, which no other method has

std::size_t colour(std::size_t method) { return method == 0 ? 0 : 1 + (method - 1) % kColours; }

}  // namespace

std::string mark_class(std::size_t method) { return fmt::format("m m{} c{}", method, colour(method)); }

std::string mark(std::size_t method, double x, double y, double radius) {
  const Shape& shape = kShapes[method % kShapes.size()];
  return fmt::format(R"svg(<path class="{}" d="{}" transform="translate({:.1f},{:.1f}) scale({:g})"/>)svg",
                     shape.filled ? "full" : "open", shape.path, x, y, method == 0 ? 1.15 * radius : radius);
}

std::string dashes(std::size_t method) { return method == 0 ? "none" : kDashes[(method - 1) % kDashes.size()]; }

std::string sample(std::size_t method) {
  return fmt::format(R"(<svg class="sample c{}{}" viewBox="0 0 44 16" width="44" height="16" aria-hidden="true">)"
                     R"(<path class="line" d="M1,8H43" stroke-dasharray="{}"/>{}</svg>)",
                     colour(method), method == 0 ? " own" : "", dashes(method), mark(method, 22, 8));
}

}  // namespace amend::page
