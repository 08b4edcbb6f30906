#pragma once

// What the CPU kernels share: row tiles, scratch memory.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/memory.hpp"
#include "engine/parallel.hpp"
#include "kernels/arguments.hpp"

namespace amend::kernels::cpu {

inline constexpr int kGemmSlot = 15;  // of gemm, whoever calls it

/// Memory of the calling thread that only grows: `slot` tells apart buffers that are alive at the same time.
/// Uninitialised. A steady-state step finds all of it in place.
template <class T>
T* scratch(int slot, std::int64_t count) {
  struct Buffer {
    std::shared_ptr<void> memory;
    std::size_t bytes = 0;
  };
  thread_local std::vector<Buffer> buffers;
  if (buffers.size() <= static_cast<std::size_t>(slot)) buffers.resize(static_cast<std::size_t>(slot) + 1);
  Buffer& buffer = buffers[static_cast<std::size_t>(slot)];
  const std::size_t bytes = static_cast<std::size_t>(std::max<std::int64_t>(count, 1)) * sizeof(T);
  if (buffer.bytes < bytes) {
    buffer.bytes = std::max(bytes, buffer.bytes * 3 / 2);
    buffer.memory = allocate(buffer.bytes, Device::cpu());
  }
  return static_cast<T*>(buffer.memory.get());
}

/// Rows [first, first + count) of segment `segment`.
struct RowTile {
  std::int64_t first;
  std::int64_t count;
  std::int32_t segment;
};

/// Cuts every segment into tiles of at most `rows` rows, in order. The list belongs to the calling thread and is
/// overwritten by its next call with the same slot.
inline const std::vector<RowTile>& row_tiles(const Segments& segments, std::int64_t rows, int slot = 0) {
  thread_local std::vector<RowTile> lists[2];
  std::vector<RowTile>& tiles = lists[slot];
  tiles.clear();
  for (std::int32_t s = 0; s < segments.count; ++s)
    for (std::int64_t row = segments.offset[s]; row < segments.offset[s + 1]; row += rows)
      tiles.push_back({row, std::min(rows, segments.offset[s + 1] - row), s});
  return tiles;
}

/// Rows of a tile: `most`, or fewer where a batch is so small that threads would go without, though no fewer than are
/// worth waking a thread for when a row takes `operations`. For work of which a row has the same bits in any tile.
inline std::int64_t shared_rows(std::int64_t total, std::int64_t most, std::int64_t operations) {
  constexpr std::int64_t kWorthwhile = 500'000, kStep = 8;
  const std::int64_t workers = worker_count(), share = (total + workers - 1) / workers,
                     rows = std::max(share, kWorthwhile / std::max<std::int64_t>(operations, 1));
  return std::clamp((rows + kStep - 1) / kStep * kStep, kStep, most);
}

/// target[i] += sum over p < parts of partial[p * count + i], in the order of p: the second stage of a deterministic
/// reduction.
template <class T>
void add_partials(const T* partial, std::int64_t parts, std::int64_t count, T* target) {
  constexpr std::int64_t kChunk = 1024;
  parallel_for((count + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t begin = chunk * kChunk, end = std::min(count, begin + kChunk);
    for (std::int64_t p = 0; p < parts; ++p)
      for (std::int64_t i = begin; i < end; ++i) target[i] += partial[p * count + i];
  });
}

}  // namespace amend::kernels::cpu
