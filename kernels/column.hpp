#pragma once

#include "kernels/kernel.hpp"

// No tape rule: moves constants between matrices and vectors.

namespace amend::kernels {

/// Column `column` of `matrix` (rows, columns) and `vector` (rows).
struct Column {
  TensorView matrix;
  std::int64_t column = 0;
  TensorView vector;
};
/// vector = matrix[:, column]
AMEND_DECLARE_KERNEL(read_column, Column)
/// matrix[:, column] = vector
AMEND_DECLARE_KERNEL(write_column, Column)

}  // namespace amend::kernels
