// A GPU for the program amend_gpu_tests, through the engine's own runtime.

#include "engine/device.hpp"
#include "engine/graph_cache.hpp"
#include "test/support/device/counters.hpp"
#include "test/support/obstacle.hpp"

namespace amend::test::device {

namespace {
const bool needs_a_gpu = [] {
  obstacle = [] { return cuda_unavailable_reason(); };
  return true;
}();
}  // namespace

bool has_counters() { return false; }
Counters counters() { return {}; }

WithoutGraphs::WithoutGraphs() { GraphCache::use_graphs(false); }
WithoutGraphs::~WithoutGraphs() { GraphCache::use_graphs(true); }

}  // namespace amend::test::device
