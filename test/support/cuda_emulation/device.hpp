#pragma once

// CUDA on the CPU, for tests on machines without a GPU: included in front of every .cu file (and of the tests that call
// them), it gives a C++ compiler what the kernels use of CUDA. The twins become `emulated_cuda::<name>` and take
// tensors in host memory.
//
// The blocks of a launch run one after the other, those of a cluster together, their threads as fibers that take turns
// at barriers and warp operations, both in an order that a seed shuffles. What this finds:
//  - memory read before it was written: shared memory and the workspace hold NaN (integers: -1) when a block, or a
//    pass, starts;
//  - a missing barrier, blocks that depend on each other: results differ between two seeds;
//  - a barrier that some threads of the block (the warp, the cluster) never reach, or reach on another line: an Error
//    says which;
//  - out-of-bounds accesses: every buffer is its own heap block, so AddressSanitizer sees them;
//  - blocks, shared memory and masks that a device would refuse.
// What it does not find: anything about speed, and races between threads that happen to read and write in order.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>

#include "engine/stream.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)

/// The namespace of the twins in this compilation.
#define AMEND_CUDA_TWIN emulated_cuda

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace amend::test::emulation {

using Where = std::source_location;

/// Sets the seed of the schedule for the life of the object. Odd seeds let one warp run far ahead of the others, even
/// ones keep all threads about equally far: a test runs one of each.
class ScheduleSeed {
 public:
  explicit ScheduleSeed(std::uint64_t seed);
  ~ScheduleSeed();
  ScheduleSeed(const ScheduleSeed&) = delete;
  ScheduleSeed& operator=(const ScheduleSeed&) = delete;

 private:
  std::uint64_t before_;
};

/// Sets the shared memory that kernels are told a block can have, 48 KB otherwise, for the life of the object: with
/// little of it a small network is too large for a block. A launch may take as much, and what every device has anyway.
class SharedBytes {
 public:
  static constexpr std::size_t kLeast = 99 << 10, kMost = 163 << 10;  // of compute capability 8.6, 8.9, 12.0; of 8.0

  explicit SharedBytes(std::size_t bytes);
  ~SharedBytes();
  SharedBytes(const SharedBytes&) = delete;
  SharedBytes& operator=(const SharedBytes&) = delete;

 private:
  std::size_t before_;
};
std::size_t max_shared_bytes();
/// Blocks of the largest cluster that was launched since the last call, at least 1.
unsigned take_largest_cluster();

/// Runs `thread` once for every thread of the grid, which is cut into clusters of `cluster` neighbouring blocks. Throws
/// Error for a launch that a device would refuse and for threads that wait for each other.
void run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& thread, unsigned cluster = 1);

/// Called around every launch: a device on the CPU opens its memory meanwhile (test/support/device).
struct LaunchHooks {
  void (*before)() = nullptr;
  void (*after)() = nullptr;
};
void set_launch_hooks(LaunchHooks hooks);

void block_barrier(const Where& where);
/// The two halves of a barrier of all threads of the cluster.
void cluster_arrive(const Where& where);
void cluster_wait(const Where& where);
unsigned cluster_size();
/// Waits for the warp; the result holds what each of its lanes gave, until the next call.
const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t value, const Where& where);
/// Memory of the block that `key` names.
void* shared_object(const void* key, std::size_t bytes);
void* dynamic_shared();
void* workspace(std::size_t bytes);

template <class T>
std::uint64_t to_word(T value) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  return word;
}

template <class T>
T from_word(std::uint64_t word) {
  T value;
  std::memcpy(&value, &word, sizeof(T));
  return value;
}

inline unsigned lane() { return threadIdx.x % 32; }  // blocks are one-dimensional

}  // namespace amend::test::emulation

inline void __syncthreads(amend::test::emulation::Where where = amend::test::emulation::Where::current()) {
  amend::test::emulation::block_barrier(where);
}
inline void __syncwarp(unsigned mask = ~0u,
                       amend::test::emulation::Where where = amend::test::emulation::Where::current()) {
  amend::test::emulation::warp_exchange(mask, 0, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              amend::test::emulation::Where where = amend::test::emulation::Where::current()) {
  const std::uint64_t* lanes = amend::test::emulation::warp_exchange(mask, predicate != 0, where);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i) result |= static_cast<unsigned>(lanes[i]) << i;
  return result;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              amend::test::emulation::Where where = amend::test::emulation::Where::current()) {
  namespace emulation = amend::test::emulation;
  const unsigned w = static_cast<unsigned>(width), first = emulation::lane() / w * w;
  return emulation::from_word<T>(
      emulation::warp_exchange(mask, emulation::to_word(value), where)[first + static_cast<unsigned>(source) % w]);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  amend::test::emulation::Where where = amend::test::emulation::Where::current()) {
  namespace emulation = amend::test::emulation;
  const unsigned other = emulation::lane() ^ static_cast<unsigned>(lanes);
  const bool inside = other / static_cast<unsigned>(width) <= emulation::lane() / static_cast<unsigned>(width);
  const std::uint64_t* words = emulation::warp_exchange(mask, emulation::to_word(value), where);
  return inside ? emulation::from_word<T>(words[other]) : value;
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                   amend::test::emulation::Where where = amend::test::emulation::Where::current()) {
  namespace emulation = amend::test::emulation;
  const unsigned own = emulation::lane(), w = static_cast<unsigned>(width);
  const std::uint64_t* words = emulation::warp_exchange(mask, emulation::to_word(value), where);
  return own % w + lanes < w ? emulation::from_word<T>(words[own + lanes]) : value;
}

namespace amend::kernels::emulated_cuda {

/// As in kernels/cuda/launch.cuh.
template <class T>
T& shared_memory() {
  static char key;
  return *static_cast<T*>(test::emulation::shared_object(&key, sizeof(T)));
}
template <class T>
T* dynamic_shared_memory() {
  return static_cast<T*>(test::emulation::dynamic_shared());
}
template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream, Args... args) {
  test::emulation::run(grid, block, shared_bytes, [&] { kernel(static_cast<Parameters>(args)...); });
}
/// As in kernels/cuda/device_limits.cuh.
inline std::size_t max_shared_bytes(Stream) { return test::emulation::max_shared_bytes(); }

/// As in kernels/cuda/cluster.cuh.
template <class... Parameters, class... Args>
void launch_clusters(void (*kernel)(Parameters...), std::int64_t clusters, int size, dim3 block,
                     std::size_t shared_bytes, Stream, Args... args) {
  test::emulation::run(
      dim3(static_cast<unsigned>(clusters * size)), block, shared_bytes,
      [&] { kernel(static_cast<Parameters>(args)...); }, static_cast<unsigned>(size));
}
/// Few: in tests a cluster has several networks.
template <class... Parameters>
std::int64_t max_clusters(void (*)(Parameters...), int, dim3, std::size_t, Stream) {
  return 2;
}
inline std::int32_t cluster_size() { return static_cast<std::int32_t>(test::emulation::cluster_size()); }
inline std::int32_t cluster_rank() { return static_cast<std::int32_t>(blockIdx.x) % cluster_size(); }
inline void cluster_arrive(test::emulation::Where where = test::emulation::Where::current()) {
  test::emulation::cluster_arrive(where);
}
inline void cluster_wait(test::emulation::Where where = test::emulation::Where::current()) {
  test::emulation::cluster_wait(where);
}
/// As in kernels/cuda/device_sum.cuh, whose order of addition is CUB's own.
template <class Term, class T>
void device_sum(std::int64_t count, const Term& term, bool add, T* target, Stream) {
  test::emulation::run(dim3(1), dim3(32), 0, [&] {
    if (threadIdx.x != 0) return;
    double total = 0;
    for (std::int64_t i = 0; i < count; ++i) total += term(i);
    *target = static_cast<T>(total) + (add ? *target : T(0));
  });
}
template <class T>
T* workspace(Stream, std::int64_t count) {
  return static_cast<T*>(test::emulation::workspace(static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace amend::kernels::emulated_cuda

#include "test/support/cuda_emulation/tensor_core.hpp"
