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

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
