#pragma once

// A CUDA device on the CPU, for the program amend_device_tests: `Device::cuda()` works there as on a GPU, through the
// same engine and the same kernels, and shows what host code does to it.
//
//  - It stands behind engine/cuda/runtime.hpp and behind `kernels::cuda::<name>`: the program defines these symbols
//    itself, so that the linker takes neither those of CUDA nor the stubs of a build without it.
//  - Device memory is a region of its own that can be touched only while a launch or a copy runs: a host access ends
//    the program with SIGSEGV. A kernel whose arguments point into host memory is an Error.
//  - Work is queued and done as late as a device may do it: when the host waits for the stream or for an event in it.
//    Pinned memory that is changed too early changes results.
//  - Kernels are the emulated twins (test/support/cuda_emulation), or the CPU twins of stems that have none yet.
//  - Copies, waits and launches are counted.

#include <cstddef>
#include <functional>
#include <type_traits>

#include "engine/stream.hpp"
#include "test/support/device/counters.hpp"

namespace amend::test::device {

/// Whether the host could read the byte at `memory` now.
bool readable(const void* memory);

/// Memory of the device from now on, in bytes: allocations beyond it fail.
void set_capacity(std::size_t bytes);
/// Bytes of device memory in use.
std::size_t used_bytes();

enum class Twin { emulated, stand_in };

/// Throws Error when a word of the arguments is an address in host memory. Their padding is zero.
void check_arguments(const char* name, const void* args, std::size_t bytes);
void queue_pass(Twin twin, std::function<void()> pass, Stream stream);

/// Queues a pass of a kernel: `run` is its emulated twin, or its CPU twin as a stand-in.
template <class Args>
void queue_kernel(const char* name, Twin twin, void (*run)(const Args&, Stream), const Args& args, Stream stream) {
  static_assert(std::is_trivially_copyable_v<Args>, "launches take their arguments by value");
  Args members = args;
  __builtin_clear_padding(&members);  // it may hold what was there before: part of an address, say
  check_arguments(name, &members, sizeof members);
  const Stream inside = twin == Twin::emulated ? stream : Stream();
  queue_pass(
      twin, [args, run, inside] { run(args, inside); }, stream);
}

}  // namespace amend::test::device
