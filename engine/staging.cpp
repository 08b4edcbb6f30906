#include "engine/staging.hpp"

#include <algorithm>

#include "engine/cuda/runtime.hpp"
#include "engine/error.hpp"
#include "engine/memory.hpp"

namespace amend {

namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

std::shared_ptr<void> pinned(std::size_t bytes, Device device) {
  return {cuda::allocate_pinned(bytes, device.index),
          [index = device.index](void* memory) { cuda::release_pinned(memory, index); }};
}

}  // namespace

Staging::~Staging() {
  for (std::size_t side = 0; side < event_.size(); ++side) {
    if (event_[side] == nullptr) continue;
    try {
      if (recorded_[side]) cuda::wait(event_[side]);  // the device may still read the memory
    } catch (const Error&) {
      // The device is in error; whoever waited for a result has been told.
    }
    cuda::destroy_event(event_[side]);
  }
}

Staging::Bytes Staging::allocate(std::size_t bytes) {
  const std::size_t rounded = std::max((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  while (chunk_ < chunks_.size() && chunks_[chunk_].used + rounded > chunks_[chunk_].bytes) ++chunk_;
  if (chunk_ == chunks_.size()) {
    const std::size_t size = std::max(kChunkBytes, rounded);
    chunks_.push_back({amend::allocate(size, device_), {pinned(size, device_), pinned(size, device_)}, size, 0, 0});
  }
  Chunk& chunk = chunks_[chunk_];
  const auto at = [&](const std::shared_ptr<void>& memory) { return static_cast<char*>(memory.get()) + chunk.used; };
  const Bytes result{at(chunk.pinned[side_]), at(chunk.device)};
  chunk.used += rounded;
  return result;
}

void Staging::upload(Stream stream) {
  bool any = false;
  for (Chunk& chunk : chunks_) {
    if (chunk.sent == chunk.used) continue;
    cuda::copy(static_cast<char*>(chunk.device.get()) + chunk.sent,
               static_cast<const char*>(chunk.pinned[side_].get()) + chunk.sent, chunk.used - chunk.sent,
               cuda::Copy::to_device, stream);
    chunk.sent = chunk.used;
    any = true;
  }
  if (!any) return;
  if (event_[side_] == nullptr) event_[side_] = cuda::create_event(device_.index);
  cuda::record(event_[side_], stream);
  recorded_[side_] = true;
}

void Staging::reset() {
  for (Chunk& chunk : chunks_) chunk.used = chunk.sent = 0;
  chunk_ = 0;
  side_ ^= 1;
  if (recorded_[side_]) cuda::wait(event_[side_]);
  recorded_[side_] = false;
}

}  // namespace amend
