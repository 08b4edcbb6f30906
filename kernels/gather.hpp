#pragma once

#include "kernels/kernel.hpp"

// No tape rule: gathers constants.

namespace amend::kernels {

/// y[i] = x[index[i]]: the rows of a batch from those of a dataset. Throws Error for an index outside 0 .. rows - 1.
struct GatherRows {
  TensorView x;      // (rows, width) float32
  TensorView index;  // (n) int32
  TensorView y;      // (n, width), float32 or float64
};
AMEND_DECLARE_KERNEL(gather_rows, GatherRows)

/// y[:, offset[s] + k] = x[:, first[s] + k] for every k of segment s: what belongs to the networks of a batch from
/// tensors of all networks.
struct GatherSegments {
  TensorView x;                         // (planes, all)
  const std::int64_t* first = nullptr;  // (segments), on the device of the tensors
  Segments segments;                    // of the rows of y
  TensorView y;                         // (planes, rows)
};
AMEND_DECLARE_KERNEL(gather_segments, GatherSegments)

}  // namespace amend::kernels
