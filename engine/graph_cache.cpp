#include "engine/graph_cache.hpp"

#include <atomic>

#include "engine/cuda/runtime.hpp"
#include "engine/memory.hpp"
#include "engine/out_of_memory.hpp"

namespace amend {

namespace {

/// Steps kept: a population of many shapes meets ever new ones, and a graph takes about a megabyte.
constexpr std::size_t kMostEntries = 64;

std::atomic<bool> graphs_used = true;

}  // namespace

GraphCache::~GraphCache() { clear(); }

void GraphCache::clear() noexcept {
  for (auto& [key, entry] : entries_)
    if (entry.graph != nullptr) cuda::destroy_graph(entry.graph);
  entries_.clear();
}

const std::vector<TensorView>& GraphCache::run(const Key& key, Stream stream, const Work& work) {
  if (entries_.size() >= kMostEntries && !entries_.contains(key)) clear();
  Entry& entry = entries_[key];
  const std::size_t scratch = cuda::scratch_generation(stream);
  if (entry.scratch != scratch || !graphs_used) {
    if (entry.graph != nullptr) cuda::destroy_graph(entry.graph);
    entry.graph = nullptr;
    entry.warm = false;
  }
  if (entry.graph == nullptr && entry.warm && !entry.plain) {
    try {
      capture(entry, stream, work);
    } catch (const OutOfMemory&) {
      entry.plain = true;  // the step's own memory is there
    }
  }
  kernels_ = entry.graph != nullptr ? entry.kernels : 0;
  if (entry.graph != nullptr) {
    cuda::launch_graph(entry.graph, stream);
    return entry.results;
  }
  const std::size_t allocations = allocation_count();
  entry.results = work();
  entry.warm = allocation_count() == allocations && cuda::scratch_generation(stream) == scratch;
  entry.scratch = scratch;
  return entry.results;
}

void GraphCache::use_graphs(bool on) { graphs_used = on; }

void GraphCache::capture(Entry& entry, Stream stream, const Work& work) {
  entry.warm = false;  // unless it succeeds
  entry.graph = capture_graph(
      stream, [&] { entry.results = work(); }, &entry.kernels);
  entry.warm = true;
  entry.scratch = cuda::scratch_generation(stream);
}

void* capture_graph(Stream stream, const std::function<void()>& work, int* kernels) {
  cuda::begin_capture(stream);
  try {
    work();
  } catch (...) {
    try {
      cuda::destroy_graph(cuda::end_capture(stream));
    } catch (const Error&) {
      // What was captured so far is of no use: the first error counts.
    }
    throw;
  }
  return cuda::end_capture(stream, kernels);
}

}  // namespace amend
