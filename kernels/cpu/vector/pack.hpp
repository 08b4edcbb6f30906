#pragma once

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

}  // namespace amend::kernels::cpu
