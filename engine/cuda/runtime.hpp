#pragma once

#include <cstddef>
#include <string>

#include "engine/stream.hpp"

/// All that the engine asks of CUDA, without its headers. Defined by the files beside this one, in a build without CUDA
/// by engine/without_cuda.cpp, which throws, and in tests by a device on the CPU (test/support/device).
namespace amend::cuda {

/// Empty when device `index` can be used; otherwise one sentence that says why not.
std::string unavailable_reason(int index);

/// Makes `index` the device of the calling thread: where its launches go.
void make_current(int index);

struct MemoryInfo {
  std::size_t free = 0, total = 0;  // bytes
};
MemoryInfo memory_info(int index);

/// Zero-filled memory of the device, or null when there is not enough.
void* allocate(std::size_t bytes, int index);
/// Waits for the device.
void release(void* memory, int index) noexcept;

/// Host memory that the device copies from without the processor's help.
void* allocate_pinned(std::size_t bytes, int index);
void release_pinned(void* memory, int index) noexcept;

void* create_stream(int index);
/// Waits for the stream.
void destroy_stream(Stream stream) noexcept;
void synchronise(Stream stream);

enum class Copy { to_device, to_host, on_device };
/// Queues a copy. Of host memory, only pinned memory is read later than this call; `to_host` is complete after
/// `synchronise`.
void copy(void* to, const void* from, std::size_t bytes, Copy kind, Stream stream);
void zero(void* memory, std::size_t bytes, Stream stream);

/// A point in the work of a stream.
void* create_event(int index);
void destroy_event(void* event) noexcept;
void record(void* event, Stream stream);
/// Waits until the device has come to the point recorded last.
void wait(void* event);

/// Another number when the scratch memory of the stream's kernels has moved: graphs that know the old place are void.
std::size_t scratch_generation(Stream stream);

/// From here on the stream's work is recorded and not done.
void begin_capture(Stream stream);
/// What was recorded, ready to be repeated. `kernels`, if given: how many launches of kernels that is.
void* end_capture(Stream stream, int* kernels = nullptr);
void launch_graph(void* graph, Stream stream);
void destroy_graph(void* graph) noexcept;

}  // namespace amend::cuda
