// engine/cuda/runtime.hpp in a build without CUDA.
#include "engine/cuda/runtime.hpp"
#include "engine/error.hpp"

namespace amend::cuda {

namespace {
[[noreturn]] void missing() { fail("cuda", unavailable_reason(0)); }
}  // namespace

std::string unavailable_reason(int) {
  return "this build of amend has no CUDA support (configure with the preset `cuda`)";
}

void make_current(int) { missing(); }
MemoryInfo memory_info(int) { missing(); }
void* allocate(std::size_t, int) { missing(); }
void release(void*, int) noexcept {}
void* allocate_pinned(std::size_t, int) { missing(); }
void release_pinned(void*, int) noexcept {}
void* create_stream(int) { missing(); }
void destroy_stream(Stream) noexcept {}
void synchronise(Stream) { missing(); }
void copy(void*, const void*, std::size_t, Copy, Stream) { missing(); }
void zero(void*, std::size_t, Stream) { missing(); }
void* create_event(int) { missing(); }
void destroy_event(void*) noexcept {}
void record(void*, Stream) { missing(); }
void wait(void*) { missing(); }
std::size_t scratch_generation(Stream) { missing(); }
void begin_capture(Stream) { missing(); }
void* end_capture(Stream, int*) { missing(); }
void launch_graph(void*, Stream) { missing(); }
void destroy_graph(void*) noexcept {}

}  // namespace amend::cuda
