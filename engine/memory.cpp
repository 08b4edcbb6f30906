#include "engine/memory.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "engine/error.hpp"

namespace amend {

namespace {
std::atomic<std::size_t> allocations{0};
}

std::shared_ptr<void> allocate(std::size_t bytes, Device device) {
  check(!device.is_cuda(), "allocate", "memory on ", to_string(device),
        " needs the CUDA engine, which this build lacks");
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = rounded >= bytes ? std::aligned_alloc(kAlignment, rounded) : nullptr;  // smaller: it wrapped around
  check(data != nullptr, "allocate", "out of memory: ", bytes, " bytes were asked for on ", to_string(device));
  std::memset(data, 0, rounded);
  allocations.fetch_add(1, std::memory_order_relaxed);
  return {data, std::free};
}

std::size_t allocation_count() { return allocations.load(std::memory_order_relaxed); }

}  // namespace amend
