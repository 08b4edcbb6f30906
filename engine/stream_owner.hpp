#pragma once

#include "engine/stream.hpp"

namespace amend {

/// A stream of its own on `device`, which becomes the current device of the calling thread. Destroying it waits for its
/// work. On the CPU there is nothing to own.
class StreamOwner {
 public:
  explicit StreamOwner(Device device);
  ~StreamOwner();
  StreamOwner(const StreamOwner&) = delete;
  StreamOwner& operator=(const StreamOwner&) = delete;

  Stream get() const { return stream_; }
  operator Stream() const { return stream_; }
  /// Makes the stream's device current: kernels are launched on that of the calling thread.
  void make_current() const;

 private:
  Stream stream_;
};

}  // namespace amend
