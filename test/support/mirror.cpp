#include "test/support/mirror.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "engine/cuda/runtime.hpp"
#include "test/support/host_address.hpp"

namespace amend::test {

Mirror::Mirror(const char* kernel, Device device) : kernel_(kernel), stream_(device) {}

Mirror::~Mirror() {
  // First the memory: releasing it waits for the device.
  for (const Copy& copy : copies_) cuda::release(copy.device, stream().device().index);
}

void Mirror::translate(void* args, std::size_t bytes) {
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes; at += sizeof(std::uint64_t)) {
    char* const place = static_cast<char*>(args) + at;
    std::uint64_t word = 0;
    std::memcpy(&word, place, sizeof word);
    const char* const address = reinterpret_cast<const char*>(word);
    if (const HeapBlock block = heap_block_of(address)) {
      const char* const moved = copy_of(block) + (address - block.begin);
      std::memcpy(place, &moved, sizeof moved);
    } else if (is_host_address(word)) {
      fail("mirror", "byte ", at, " of the arguments of `", kernel_, "` is an address outside the blocks of the heap");
    }
  }
}

char* Mirror::copy_of(const HeapBlock& block) {
  for (const Copy& copy : copies_)
    if (copy.host.begin == block.begin) return copy.device;
  const std::size_t bytes = std::max<std::size_t>(block.bytes, 1);
  void* const memory = cuda::allocate(bytes, stream().device().index);
  check(memory != nullptr, "mirror", "no memory for ", bytes, " bytes");
  copies_.push_back({block, static_cast<char*>(memory)});
  if (block.bytes > 0) cuda::copy(memory, block.begin, block.bytes, cuda::Copy::to_device, stream_);
  return copies_.back().device;
}

void Mirror::bring_back() {
  cuda::synchronise(stream_);  // an error of the kernel shows here
  for (const Copy& copy : copies_)
    if (copy.host.bytes > 0) cuda::copy(copy.host.begin, copy.device, copy.host.bytes, cuda::Copy::to_host, stream_);
  cuda::synchronise(stream_);
}

}  // namespace amend::test
