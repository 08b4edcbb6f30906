#include "engine/memory.hpp"

#include <atomic>
#include <cstring>
#include <new>

#include "engine/cuda/runtime.hpp"
#include "engine/out_of_memory.hpp"

namespace amend {

namespace {
std::atomic<std::size_t> allocations{0};
}

std::shared_ptr<void> allocate(std::size_t bytes, Device device) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const bool possible = rounded >= bytes;  // smaller: it wrapped around
  if (device.is_cuda()) {
    void* data = possible ? cuda::allocate(rounded, device.index) : nullptr;
    if (data == nullptr) throw OutOfMemory(bytes, device);
    allocations.fetch_add(1, std::memory_order_relaxed);
    return {data, [index = device.index](void* memory) { cuda::release(memory, index); }};
  }
  constexpr std::align_val_t kAligned{kAlignment};
  void* data = possible ? ::operator new(bytes, kAligned, std::nothrow) : nullptr;
  if (data == nullptr) throw OutOfMemory(bytes, device);
  std::memset(data, 0, bytes);
  allocations.fetch_add(1, std::memory_order_relaxed);
  return {data, [](void* memory) { ::operator delete(memory, kAligned); }};
}

std::size_t allocation_count() { return allocations.load(std::memory_order_relaxed); }

}  // namespace amend
