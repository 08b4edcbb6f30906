#pragma once

#include <cstddef>

#include "engine/device.hpp"
#include "engine/error.hpp"

namespace amend {

/// Memory ran out. The message says how many bytes were asked for and, on a device, how many are free.
class OutOfMemory : public Error {
 public:
  OutOfMemory(std::size_t asked, Device device);

  std::size_t asked() const { return asked_; }
  /// Free bytes of the device; 0 where that is not known.
  std::size_t free() const { return free_; }

 private:
  OutOfMemory(std::size_t asked, std::size_t free, std::size_t total, Device device);

  std::size_t asked_, free_;
};

/// How many of `batch` items to try at a time after so many ran out of memory: `held` bytes were theirs when `error`
/// was thrown. At least 1, below `batch` unless that is 1.
int smaller_batch(int batch, std::size_t held, const OutOfMemory& error);

}  // namespace amend
