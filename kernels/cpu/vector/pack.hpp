#pragma once

#include <array>
#include <atomic>

#include "kernels/cpu/tile.hpp"
#include "kernels/cpu/vector/functions.hpp"

namespace amend::kernels::cpu {

/// A row-major (rows, columns) matrix, or its transpose, packed for the loops in scratch memory of this slot.
template <class T>
T* pack_matrix(const T* matrix, std::int64_t rows, std::int64_t columns, bool transposed, int slot) {
  const Functions<T>& functions = vector_functions().of<T>();
  if (transposed) std::swap(rows, columns);
  T* packed = scratch<T>(slot, rows * functions.packed_width(columns));
  functions.pack({.rows = rows,
                  .columns = columns,
                  .data = matrix,
                  .row = transposed ? 1 : columns,
                  .column = transposed ? rows : 1,
                  .packed = packed});
  return packed;
}

/// The same for work that threads share: every thread that asks packs it for itself, once. One copy for all would move
/// from cache to cache at every call.
template <class T>
class Packed {
 public:
  Packed(const T* matrix, std::int64_t rows, std::int64_t columns, bool transposed, int slot)
      : matrix_(matrix), rows_(rows), columns_(columns), transposed_(transposed), slot_(slot), id_(++last_id()) {}

  /// Scratch memory of the calling thread, while no other matrix is packed there.
  const T* get() const {
    constexpr std::size_t kSlots = 16;
    thread_local std::array<std::uint64_t, kSlots> holds{};
    std::uint64_t& own = holds.at(static_cast<std::size_t>(slot_));
    if (own != id_) {
      pack_matrix(matrix_, rows_, columns_, transposed_, slot_);
      own = id_;
    }
    return scratch<T>(slot_, 0);
  }

 private:
  static std::atomic<std::uint64_t>& last_id() {
    static std::atomic<std::uint64_t> last = 0;
    return last;
  }

  const T* matrix_;
  std::int64_t rows_, columns_;
  bool transposed_;
  int slot_;
  std::uint64_t id_;
};

}  // namespace amend::kernels::cpu
