#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/device.hpp"
#include "engine/staging.hpp"
#include "engine/stream.hpp"
#include "engine/tensor.hpp"

namespace amend {

/// Bump allocator for everything that lives for one step. `reset` makes all of it free at once; the memory stays, so a
/// step that repeats allocates nothing from the system. One thread at a time, and on a device one stream.
class Arena {
 public:
  explicit Arena(Device device = Device::cpu(), std::size_t chunk_bytes = std::size_t{1} << 24);

  /// Memory that is not initialised, aligned to kAlignment.
  void* allocate(std::size_t bytes);
  /// An uninitialised tensor.
  TensorView tensor(Shape shape, DType dtype);
  /// A tensor of zeros; on a device they are queued on `stream`.
  TensorView zeros(Shape shape, DType dtype, Stream stream = {});

  /// Memory that the host fills in: `host` is where, `device` what kernels get, once `upload` is queued. On the CPU
  /// both are one. Uninitialised; not freed by `rewind`.
  Staging::Bytes stage(std::size_t bytes);
  struct Staged {
    TensorView host, device;
  };
  Staged stage(Shape shape, DType dtype);
  /// Queues the copy of all that was staged since the last upload; nothing on the CPU.
  void upload(Stream stream);
  /// An object that needs no destructor; always in host memory.
  template <class T, class... Args>
  T* make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>, "the arena runs no destructors");
    return ::new (host_bytes(sizeof(T))) T(std::forward<Args>(args)...);
  }

  void reset();
  /// Begins to stage anew, at the same addresses on the device, and keeps everything else: to repeat a captured step.
  void restage();

  /// Bytes handed out since the last reset.
  std::size_t used() const { return used_; }
  /// Bytes held from the system.
  std::size_t capacity() const { return capacity_; }
  Device device() const { return device_; }

  /// A point to rewind to: what was allocated after it becomes free.
  struct Mark {
    std::size_t chunk, offset, used;
  };
  Mark mark() const { return {chunk_, offset_, used_}; }
  void rewind(const Mark& mark);
  /// Frees what was allocated after the mark but for these tensors, which move to its place: the views are changed.
  /// Absent ones and those that lie elsewhere stay as they are. Host memory only; a tensor must be all of its
  /// allocation. Throws Error otherwise.
  void compact(const Mark& mark, std::span<TensorView* const> kept);

 private:
  struct Chunk {
    std::shared_ptr<void> memory;
    std::size_t bytes;
  };

  void* host_bytes(std::size_t bytes);
  /// Chunk and offset of memory that was allocated after the mark; places are in the order of allocation.
  using Place = std::pair<std::size_t, std::size_t>;
  std::optional<Place> place_after(const Mark& mark, const void* data) const;

  Device device_;
  std::size_t chunk_bytes_;
  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0, offset_ = 0, used_ = 0, capacity_ = 0;
  std::unique_ptr<Arena> host_;  // objects of an arena whose tensors live on another device
  std::unique_ptr<Staging> staging_;
};

}  // namespace amend
