#pragma once

#include <cstddef>
#include <functional>

namespace amend {

/// The stages that every item goes through, in this order. `compute` returns false to end early.
struct PipelineStages {
  std::function<void(std::size_t item)> read;
  std::function<bool(std::size_t item)> compute;
  std::function<void(std::size_t item)> write;
};

/// Takes items 0 .. count - 1 through three stages that overlap: while the calling thread computes item k, one
/// background thread reads item k + 1 and another writes item k - 1. Each stage sees the items in order. The place
/// where item k is read to is free again when item k + 2 is read, and so is the one it is computed to: two places for
/// each are enough, whatever the count.
///
/// Returns whether all items were written. Whatever a stage throws ends the pipeline and is rethrown; when this returns
/// or throws, no stage is running any more.
bool run_pipeline(std::size_t count, const PipelineStages& stages);

}  // namespace amend
