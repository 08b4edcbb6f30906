#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "engine/stream.hpp"

namespace amend {

/// Memory that the host fills in and a device reads: every address in pinned host memory has one on the device, and
/// `upload` brings what is new across, as a rule in one copy. The pinned side is there twice: the host fills one in
/// while the device may still read the other.
class Staging {
 public:
  explicit Staging(Device device) : device_(device) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  struct Bytes {
    void* host;
    void* device;
  };
  /// Uninitialised, aligned to kAlignment.
  Bytes allocate(std::size_t bytes);
  /// Queues the copies of what was allocated since the last upload. One stream for all.
  void upload(Stream stream);
  /// Starts anew, with the same addresses on the device. Waits only when the device is two uploads behind.
  void reset();

 private:
  struct Chunk {
    std::shared_ptr<void> device;
    std::array<std::shared_ptr<void>, 2> pinned;
    std::size_t bytes, used, sent;
  };

  Device device_;
  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0, side_ = 0;
  std::array<void*, 2> event_{};  // of the last copy from each side
  std::array<bool, 2> recorded_{};
};

}  // namespace amend
