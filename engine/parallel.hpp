#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include <omp.h>

namespace amend {

/// Sets the number of OpenMP threads and restores it; 0 leaves it as it is.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(omp_get_max_threads()) {
    if (threads > 0) omp_set_num_threads(threads);
  }
  ~ThreadCount() { omp_set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

/// The threads that a parallel loop would share its work among.
inline int worker_count() { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

/// Gives each of the indices 0 .. count - 1 to one thread. A thread begins with a run of its own, the same in every
/// loop of as many indices and threads: what one loop leaves in the cache of a core is there for the next one. When it
/// is through it helps where others are not.
class OwnIndicesFirst {
 public:
  OwnIndicesFirst(std::int64_t count, int threads)
      : count_(count), runs_(std::clamp<std::int64_t>(std::min<std::int64_t>(threads, count), 1, kMostRuns)) {
    for (std::int64_t r = 0; r < runs_; ++r) run_[r].next.store(first(r), std::memory_order_relaxed);
  }

  /// Calls `body(index)` for all that `thread` gets.
  template <class Body>
  void for_each(int thread, const Body& body) {
    for (std::int64_t k = 0; k < runs_; ++k) {
      const std::int64_t r = (thread + k) % runs_, end = first(r + 1);
      std::atomic<std::int64_t>& next = run_[r].next;
      while (next.load(std::memory_order_relaxed) < end)  // reading alone takes the counter from no other core
        if (const std::int64_t index = next.fetch_add(1, std::memory_order_relaxed); index < end) body(index);
    }
  }

 private:
  static constexpr std::int64_t kMostRuns = 64;  // more threads share them
  struct alignas(64) Run {
    std::atomic<std::int64_t> next;
  };

  std::int64_t first(std::int64_t run) const { return count_ * run / runs_; }

  std::int64_t count_, runs_;
  Run run_[kMostRuns];
};

/// Calls `body(index)` for 0 <= index < count on the OpenMP threads, in no particular order. The work an index stands
/// for must not depend on the thread that does it: that is what makes results the same for any number of threads.
/// An exception does not keep the other indices from being done; the first one is rethrown at the end. `worthwhile`
/// false: the calling thread does it all, for work of a few microseconds, which waking others would take longer than.
template <class Body>
void parallel_for(std::int64_t count, const Body& body, bool worthwhile = true) {
  std::exception_ptr error;
  const auto guarded = [&](std::int64_t index) {
    try {
      body(index);
    } catch (...) {
#pragma omp critical(amend_parallel_for)
      if (!error) error = std::current_exception();
    }
  };
  // Inside another parallel loop, or with nothing to share, the team would only be in the way.
  if (count <= 1 || !worthwhile || worker_count() == 1) {
    for (std::int64_t index = 0; index < count; ++index) guarded(index);
  } else {
    OwnIndicesFirst indices(count, worker_count());
#pragma omp parallel
    indices.for_each(omp_get_thread_num(), guarded);
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace amend
