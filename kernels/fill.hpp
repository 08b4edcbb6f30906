#pragma once

#include "kernels/kernel.hpp"

// No tape rule: the tape itself is built on these.

namespace amend::kernels {

/// y = value.
struct Fill {
  TensorView y;
  double value = 0.0;
};
AMEND_DECLARE_KERNEL(fill, Fill)

/// Where the modulation of a message layer starts: 1 in the first third of a row (gamma), 0 in the second (beta),
/// `step` in the last (alpha).
struct ModulationStart {
  TensorView y;  // (networks, 3 ones)
  std::int64_t ones = 0;
  double step = 0.5;
};
AMEND_DECLARE_KERNEL(modulation_start, ModulationStart)

/// y += scale * x.
struct Accumulate {
  TensorView x;
  double scale = 1.0;
  TensorView y;
};
AMEND_DECLARE_KERNEL(accumulate, Accumulate)

/// y *= x.
struct Multiply {
  TensorView x;
  TensorView y;
};
AMEND_DECLARE_KERNEL(multiply, Multiply)

}  // namespace amend::kernels
