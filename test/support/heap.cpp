#include "test/support/heap.hpp"

#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <new>

namespace {

std::atomic<std::size_t> allocations{0};
std::atomic<int> records{0};          // HeapRecords that live
std::atomic<bool> any_record{false};  // whether a block may be among `blocks`

/// Past `operator new`, which fills the map that it is for.
template <class T>
struct Malloc {
  using value_type = T;
  Malloc() = default;
  template <class U>
  Malloc(const Malloc<U>&) {}
  T* allocate(std::size_t count) {
    if (void* data = std::malloc(count * sizeof(T))) return static_cast<T*>(data);
    throw std::bad_alloc();
  }
  void deallocate(T* data, std::size_t) { std::free(data); }
  friend bool operator==(const Malloc&, const Malloc&) { return true; }
};
using Blocks =
    std::map<const char*, std::size_t, std::less<const char*>, Malloc<std::pair<const char* const, std::size_t>>>;

std::mutex mutex;
/// Never destroyed: blocks are freed until the very end.
Blocks& blocks() {
  alignas(Blocks) static char memory[sizeof(Blocks)];
  static Blocks* const instance = new (memory) Blocks;
  return *instance;
}

bool recording() {
  static const bool always = std::getenv("AMEND_TWIN_DEVICE") != nullptr;
  if (always) any_record.store(true, std::memory_order_relaxed);
  return always || records.load(std::memory_order_relaxed) > 0;
}

void* remember(void* data, std::size_t bytes) {
  if (data == nullptr || !recording()) return data;
  const std::lock_guard lock(mutex);
  blocks()[static_cast<const char*>(data)] = bytes;
  return data;
}

void release(void* data) {
  if (data != nullptr && any_record.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(mutex);
    blocks().erase(static_cast<const char*>(data));
  }
  std::free(data);
}

}  // namespace

// All forms, so that what one allocates another one can free, under the sanitizers too.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return remember(std::malloc(bytes ? bytes : 1), bytes);
}
void* operator new(std::size_t bytes) {
  if (void* data = operator new(bytes, std::nothrow)) return data;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  void* data = nullptr;
  if (posix_memalign(&data, static_cast<std::size_t>(alignment), bytes ? bytes : 1) != 0) return nullptr;
  return remember(data, bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (void* data = operator new(bytes, alignment, std::nothrow)) return data;
  throw std::bad_alloc();
}
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return operator new(bytes, std::nothrow); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return operator new(bytes, alignment); }
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return operator new(bytes, alignment, std::nothrow);
}
void operator delete(void* data) noexcept { release(data); }
void operator delete(void* data, std::size_t) noexcept { release(data); }
void operator delete(void* data, const std::nothrow_t&) noexcept { release(data); }
void operator delete(void* data, std::align_val_t) noexcept { release(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { release(data); }
void operator delete(void* data, std::align_val_t, const std::nothrow_t&) noexcept { release(data); }
void operator delete[](void* data) noexcept { release(data); }
void operator delete[](void* data, std::size_t) noexcept { release(data); }
void operator delete[](void* data, const std::nothrow_t&) noexcept { release(data); }
void operator delete[](void* data, std::align_val_t) noexcept { release(data); }
void operator delete[](void* data, std::size_t, std::align_val_t) noexcept { release(data); }
void operator delete[](void* data, std::align_val_t, const std::nothrow_t&) noexcept { release(data); }

namespace amend::test {

std::size_t heap_allocation_count() { return allocations.load(std::memory_order_relaxed); }

HeapRecord::HeapRecord() {
  any_record.store(true);
  records.fetch_add(1);
}
HeapRecord::~HeapRecord() { records.fetch_sub(1); }

HeapBlock heap_block_of(const void* address) {
  const char* const at = static_cast<const char*>(address);
  const std::lock_guard lock(mutex);
  const auto after = blocks().upper_bound(at);
  if (after == blocks().begin()) return {};
  const auto& [begin, bytes] = *std::prev(after);
  if (at > begin + bytes) return {};
  return {const_cast<char*>(begin), bytes};
}

}  // namespace amend::test
