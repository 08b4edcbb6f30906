#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "engine/stream.hpp"
#include "engine/tensor.hpp"

namespace amend {

/// Repeats a step of a device as a captured graph: one launch instead of a thousand. What the host passes by value in
/// arguments is as it was when the step was captured; what may change lies in device memory.
class GraphCache {
 public:
  /// All that the arguments of a step's launches depend on: counts, shapes, switches.
  using Key = std::vector<std::int64_t>;
  /// Queues a step and returns where its results are.
  using Work = std::function<std::vector<TensorView>()>;

  GraphCache() = default;
  ~GraphCache();
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;

  /// Queues the step of this key: plainly until all memory is in place, then captured, then repeated. The memory of a
  /// captured step must stay: it is an arena's that is reset before each step. The results are valid as long as that.
  const std::vector<TensorView>& run(const Key& key, Stream stream, const Work& work);

  /// Off: all steps of the process are queued plainly, which their results must not show. For tests and to find faults.
  static void use_graphs(bool on);

  /// Launches of kernels in the step that was queued last, when that was a graph; otherwise 0.
  int kernels() const { return kernels_; }

 private:
  struct Entry {
    bool warm = false;   // the last run took no new memory
    bool plain = false;  // there was no memory for a graph
    void* graph = nullptr;
    int kernels = 0;
    std::size_t scratch = 0;  // generation of the stream's scratch memory that it was warm, or captured, with
    std::vector<TensorView> results;
  };
  void clear() noexcept;
  void capture(Entry& entry, Stream stream, const Work& work);

  std::map<Key, Entry> entries_;
  int kernels_ = 0;
};

/// Records what `work` puts on the stream and does not do it. Returns the graph, for cuda::launch_graph, and how many
/// launches of kernels it has. The caller destroys it (cuda::destroy_graph).
void* capture_graph(Stream stream, const std::function<void()>& work, int* kernels);

}  // namespace amend
