#pragma once

#include <cstdint>

#include "engine/stream.hpp"
#include "engine/tensor.hpp"

/// Declares kernel `name` once for every device: the twins `cpu::name` and `cuda::name`, and `name` itself, which
/// runs the one that the stream's device asks for. A build without CUDA links a `cuda::name` that throws.
#define AMEND_DECLARE_KERNEL(name, Args)                                            \
  namespace cpu {                                                                   \
  void name(const Args& args, Stream stream);                                       \
  }                                                                                 \
  namespace cuda {                                                                  \
  void name(const Args& args, Stream stream);                                       \
  }                                                                                 \
  inline void name(const Args& args, Stream stream) {                               \
    stream.device().is_cuda() ? cuda::name(args, stream) : cpu::name(args, stream); \
  }

namespace amend::kernels {

/// Consecutive runs of rows that belong together, one per network: run s is rows offset[s] .. offset[s + 1] - 1.
/// A kernel never lets a tile cross a boundary, so that a network's result is the same bits alone and in any batch.
struct Segments {
  const std::int64_t* offset = nullptr;  // (count + 1), on the device of the tensors
  std::int32_t count = 0;

  std::int64_t rows() const { return offset[count]; }
};

}  // namespace amend::kernels
