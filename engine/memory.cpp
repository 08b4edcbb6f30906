#include "engine/memory.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <new>

#include "engine/cuda/runtime.hpp"
#include "engine/out_of_memory.hpp"

namespace amend {

namespace {

std::atomic<std::size_t> allocations{0};

constexpr std::align_val_t kAligned{kAlignment};

/// Buffers of at least two huge pages begin on one and ask for them: the states of a large network are read in order
/// again and again, and on pages of 4 KB the processor's prefetching ends at every page.
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::align_val_t kHugeAligned{kHugePage};
bool is_huge(std::size_t bytes) { return bytes >= 2 * kHugePage; }

void* host_memory(std::size_t bytes) {
  void* data = ::operator new(bytes, is_huge(bytes) ? kHugeAligned : kAligned, std::nothrow);
#ifdef MADV_HUGEPAGE
  // A request: where it is refused pages stay small.
  if (data != nullptr && is_huge(bytes)) (void)madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace

std::shared_ptr<void> allocate(std::size_t bytes, Device device) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const bool possible = rounded >= bytes;  // smaller: it wrapped around
  if (device.is_cuda()) {
    void* data = possible ? cuda::allocate(rounded, device.index) : nullptr;
    if (data == nullptr) throw OutOfMemory(bytes, device);
    allocations.fetch_add(1, std::memory_order_relaxed);
    return {data, [index = device.index](void* memory) { cuda::release(memory, index); }};
  }
  void* data = possible ? host_memory(bytes) : nullptr;
  if (data == nullptr) throw OutOfMemory(bytes, device);
  std::memset(data, 0, bytes);
  allocations.fetch_add(1, std::memory_order_relaxed);
  return {data, [bytes](void* memory) { ::operator delete(memory, is_huge(bytes) ? kHugeAligned : kAligned); }};
}

std::size_t allocation_count() { return allocations.load(std::memory_order_relaxed); }

}  // namespace amend
