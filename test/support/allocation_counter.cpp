#include "test/support/allocation_counter.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> allocations{0};
}

// Replaces the forms that the others call by default. The aligned ones are left alone: nothing here is over-aligned
// except amend's own buffers, which allocation_count() counts.
void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* data = std::malloc(bytes ? bytes : 1)) return data;
  throw std::bad_alloc();
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }

namespace amend::test {

std::size_t heap_allocation_count() { return allocations.load(std::memory_order_relaxed); }

}  // namespace amend::test
