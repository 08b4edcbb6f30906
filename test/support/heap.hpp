#pragma once

// What tests know of the heap: this program's `operator new` counts, and remembers its blocks where that is asked for.

#include <cstddef>

namespace amend::test {

/// Number of calls of global `operator new` in this program so far, by all threads; those for over-aligned memory,
/// which only amend's own buffers are, are left to `allocation_count()`.
std::size_t heap_allocation_count();

/// What one `operator new` gave out, of exactly the size that was asked for.
struct HeapBlock {
  char* begin = nullptr;
  std::size_t bytes = 0;

  explicit operator bool() const { return begin != nullptr; }
};

/// Blocks that are made while one of these lives are remembered until they are freed. Where AMEND_TWIN_DEVICE is set
/// (test/support/twin_device.hpp) all blocks are, from the start of the program.
class HeapRecord {
 public:
  HeapRecord();
  ~HeapRecord();
  HeapRecord(const HeapRecord&) = delete;
  HeapRecord& operator=(const HeapRecord&) = delete;
};

/// The remembered block that holds `address`, or that ends there; none: an empty one.
HeapBlock heap_block_of(const void* address);

}  // namespace amend::test
