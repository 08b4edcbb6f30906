#pragma once

// Runs a kernel on a CUDA device for a test whose tensors and tables are in host memory. A launch takes all its
// pointers from its arguments: every word there that is an address in a block of the heap becomes the address of a copy
// on the device, and afterwards all copies are brought back. A copy is as large as the block, so that compute-sanitizer
// sees what a kernel touches outside.

#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "engine/stream_owner.hpp"
#include "test/support/heap.hpp"

namespace amend::test {

/// Copies of blocks of the heap on a device, for one pass of a kernel.
class Mirror {
 public:
  Mirror(const char* kernel, Device device);
  ~Mirror();
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  Stream stream() const { return stream_; }
  /// Turns addresses in the heap into those of the copies, which are made on the way. Throws Error for another address
  /// of the host: blocks must be remembered (test/support/heap.hpp). Padding is zero.
  void translate(void* args, std::size_t bytes);
  /// Waits for the pass and brings what it left in the copies back.
  void bring_back();

 private:
  struct Copy {
    HeapBlock host;
    char* device;
  };
  char* copy_of(const HeapBlock& block);

  const char* kernel_;
  StreamOwner stream_;
  std::vector<Copy> copies_;
};

/// Runs `kernel`, a pass named `name`, with mirrored arguments; what it wrote is in host memory when this returns.
template <class Args>
void run_mirrored(const char* name, void (*kernel)(const Args&, Stream), const Args& args, Device device) {
  static_assert(std::is_trivially_copyable_v<Args>, "launches take their arguments by value");
  try {
    Mirror mirror(name, device);
    Args translated = args;
    __builtin_clear_padding(&translated);
    mirror.translate(&translated, sizeof translated);
    kernel(translated, mirror.stream());
    mirror.bring_back();
  } catch (const Error& error) {
    fail(name, "on ", to_string(device), ": ", error.what());
  }
}

}  // namespace amend::test
