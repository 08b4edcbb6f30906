#pragma once

// The tensor core instructions of sm_80 and later, a warp at a time, with g = lane / 4 and q = lane % 4. Not WMMA: its
// fragments hide which lane holds what, so that a layer norm between two products would have to go through shared
// memory. Here an accumulator becomes the next product's operand where it is. The tests' emulation brings its own
// version of what stands between the #ifdef.

#include <cstdint>

#include "kernels/cuda/launch.cuh"

#ifdef __CUDACC__

namespace amend::kernels::cuda {

/// Two floats as bf16, rounded to nearest even; `low` in the lower half.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

/// The nearest tf32, ties away from zero.
__device__ __forceinline__ float round_tf32(float x) {
  std::uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return __uint_as_float(rounded);
}

/// d (16 x 8) += a (16 x 16) b (16 x 8), bf16. Of d a lane holds (g, 2q), (g, 2q + 1), (g + 8, 2q), (g + 8, 2q + 1); of
/// a the pairs (g, 2q ..), (g + 8, 2q ..), (g, 2q + 8 ..), (g + 8, 2q + 8 ..); of b the pairs (2q .., g), (2q + 8 ..,
/// g).
__device__ __forceinline__ void multiply_bf16(float& d0, float& d1, float& d2, float& d3, const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d (16 x 8) += a (16 x 8) b (8 x 8), tf32 (rounded before). d as above; of a a lane holds (g, q), (g + 8, q),
/// (g, q + 4), (g + 8, q + 4); of b (q, g), (q + 4, g).
__device__ __forceinline__ void multiply_tf32(float& d0, float& d1, float& d2, float& d3, const float (&a)[4],
                                              const float (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

}  // namespace amend::kernels::cuda

#endif
