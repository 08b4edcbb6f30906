#pragma once

#include "kernels/cpu/vector/vector.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// Goes through the edges of some rows of a block in order.
struct Walk {
  std::int64_t row, col, cols;

  AMEND_INLINE void next() {
    if (++col == cols) ++row, col = 0;
  }
  AMEND_INLINE void skip(std::int64_t edges) {
    col += edges;
    row += col / cols;
    col %= cols;
  }
};

/// Calls `body(first, count, row, col)` for the pieces of the next `edges` edges that lie in one row: edges [first,
/// first + count) of them, from column `col` on.
template <class Body>
AMEND_INLINE void for_row_pieces(Walk& at, std::int64_t edges, const Body& body) {
  for (std::int64_t first = 0; first < edges;) {
    const std::int64_t left = at.cols - at.col, count = edges - first < left ? edges - first : left;
    body(first, count, at.row, at.col);
    first += count;
    at.col += count;
    if (at.col == at.cols) ++at.row, at.col = 0;
  }
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
