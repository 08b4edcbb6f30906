#pragma once

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
#pragma omp parallel for schedule(dynamic, 1)
    for (std::int64_t index = 0; index < count; ++index) guarded(index);
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace amend
