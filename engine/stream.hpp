#pragma once

#include "engine/device.hpp"

namespace amend {

/// An ordered queue of work on one device; an argument of every kernel. On the CPU work is done when the call returns.
/// A value type: it does not own the queue it names.
class Stream {
 public:
  Stream() = default;
  Stream(Device device, void* handle) : device_(device), handle_(handle) {}

  Device device() const { return device_; }
  /// The `cudaStream_t` behind a CUDA stream; null on the CPU.
  void* handle() const { return handle_; }

 private:
  Device device_;
  void* handle_ = nullptr;
};

}  // namespace amend
