#pragma once

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// y[row] = x[row] + table[index[row]]; rows with index -1 are copied.
struct EmbeddingAdd {
  TensorView x;      // (rows, width)
  TensorView table;  // (entries, width)
  TensorView index;  // (rows) int32, -1 .. entries - 1
  TensorView y;      // (rows, width)
};
AMEND_DECLARE_KERNEL(embedding_add_forward, EmbeddingAdd)

/// Adds grad_y to grad_x and its sums per entry, in the order of the rows, to grad_table.
struct EmbeddingAddGradient {
  EmbeddingAdd forward;
  TensorView grad_y;      // (rows, width)
  TensorView grad_x;      // (rows, width), optional
  TensorView grad_table;  // (entries, width), optional
};
AMEND_DECLARE_KERNEL(embedding_add_backward, EmbeddingAddGradient)

}  // namespace amend::kernels
