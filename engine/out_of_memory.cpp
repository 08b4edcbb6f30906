#include "engine/out_of_memory.hpp"

#include <algorithm>

#include "engine/cuda/runtime.hpp"

namespace amend {

namespace {

std::string text(std::size_t asked, std::size_t free, std::size_t total, Device device) {
  std::string message =
      detail::join("[allocate] out of memory: ", asked, " bytes were asked for on ", to_string(device));
  if (device.is_cuda()) message += detail::join(", ", free, " of ", total, " are free");
  return message;
}

cuda::MemoryInfo info_of(Device device) {
  return device.is_cuda() ? cuda::memory_info(device.index) : cuda::MemoryInfo{};
}

}  // namespace

OutOfMemory::OutOfMemory(std::size_t asked, Device device)
    : OutOfMemory(asked, info_of(device).free, info_of(device).total, device) {}

OutOfMemory::OutOfMemory(std::size_t asked, std::size_t free, std::size_t total, Device device)
    : Error(text(asked, free, total, device)), asked_(asked), free_(free) {}

int smaller_batch(int batch, std::size_t held, const OutOfMemory& error) {
  // What was asked for is the least that is missing: more may have followed. Half is the most to suggest.
  const double fits = static_cast<double>(batch) * 0.9 * static_cast<double>(held + error.free()) /
                      static_cast<double>(held + error.asked() + 1);
  return std::max(1, std::min(batch / 2, static_cast<int>(fits)));
}

}  // namespace amend
