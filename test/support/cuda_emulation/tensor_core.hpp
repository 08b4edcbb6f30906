#pragma once

// The tensor core instructions of kernels/cuda/tensor_core.cuh on the CPU: operands are rounded exactly as the hardware
// rounds them, the layout over lanes is that of the PTX manual (mma.m16n8k16, mma.m16n8k8). Sums are formed in double
// and rounded once, where the hardware's order is not documented.

#include <bit>

#include "kernels/precision.hpp"
#include "test/support/cuda_emulation/device.hpp"

namespace amend::kernels::emulated_cuda {

inline float value_of_bf16(std::uint32_t bits) { return std::bit_cast<float>((bits & 0xffffu) << 16); }

inline std::uint32_t pack_bf16(float low, float high) {
  return std::uint32_t{BFloat16(low).bits} | std::uint32_t{BFloat16(high).bits} << 16;
}

inline float round_tf32(float x) { return round_operand(Precision::tf32, x); }

/// What one lane brings to a product.
template <class Word>
struct MatrixOperands {
  const Word* a;
  const Word* b;
};

/// d += a b for a warp; `a_at(operand, row, k)` and `b_at` read the element from the lane that holds it.
template <int Depth, class Word, class ElementA, class ElementB>
void multiply_warp(float& d0, float& d1, float& d2, float& d3, const Word* a, const Word* b, const ElementA& a_at,
                   const ElementB& b_at, const test::emulation::Where& where) {
  const MatrixOperands<Word> own{a, b};
  MatrixOperands<Word> lanes[32];
  const std::uint64_t* words = test::emulation::warp_exchange(~0u, reinterpret_cast<std::uint64_t>(&own), where);
  for (int i = 0; i < 32; ++i) lanes[i] = *reinterpret_cast<const MatrixOperands<Word>*>(words[i]);
  const int g = static_cast<int>(test::emulation::lane()) / 4, q = static_cast<int>(test::emulation::lane()) % 4;
  float* const d[2][2] = {{&d0, &d1}, {&d2, &d3}};
  for (int half = 0; half < 2; ++half)
    for (int column = 0; column < 2; ++column) {
      double sum = double{*d[half][column]};
      for (int k = 0; k < Depth; ++k)
        sum += double{a_at(lanes, g + 8 * half, k)} * double{b_at(lanes, k, 2 * q + column)};
      *d[half][column] = static_cast<float>(sum);
    }
  test::emulation::warp_exchange(~0u, 0, where);  // the operands live in the lanes' frames until all have read them
}

inline void multiply_bf16(float& d0, float& d1, float& d2, float& d3, const std::uint32_t (&a)[4],
                          const std::uint32_t (&b)[2],
                          test::emulation::Where where = test::emulation::Where::current()) {
  const auto half_word = [](std::uint32_t word, int odd) { return value_of_bf16(odd ? word >> 16 : word); };
  multiply_warp<16>(
      d0, d1, d2, d3, a, b,
      [&](const auto* lanes, int row, int k) {
        return half_word(lanes[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], k % 2);
      },
      [&](const auto* lanes, int k, int column) { return half_word(lanes[column * 4 + k % 8 / 2].b[k / 8], k % 2); },
      where);
}

inline void multiply_tf32(float& d0, float& d1, float& d2, float& d3, const float (&a)[4], const float (&b)[2],
                          test::emulation::Where where = test::emulation::Where::current()) {
  multiply_warp<8>(
      d0, d1, d2, d3, a, b,
      [](const auto* lanes, int row, int k) { return round_tf32(lanes[row % 8 * 4 + k % 4].a[row / 8 + k / 4 * 2]); },
      [](const auto* lanes, int k, int column) { return round_tf32(lanes[column * 4 + k % 4].b[k / 4]); }, where);
}

}  // namespace amend::kernels::emulated_cuda
