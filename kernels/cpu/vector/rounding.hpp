#pragma once

// Operands of products as tensor cores take them, and states that are stored as bf16.

#include "engine/bfloat16.hpp"
#include "kernels/cpu/vector/vector.hpp"
#include "kernels/precision.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// What round_operand (kernels/precision.hpp) does, in every lane.
class Rounding {
 public:
  AMEND_INLINE explicit Rounding(Precision precision) {
    if (precision == Precision::tf32) half_ = 0x1000u, mask_ = ~0x1fffu;
    if (precision == Precision::bf16) half_ = 0x7fffu, odd_ = 1u, mask_ = 0xffff0000u;
  }
  AMEND_INLINE Vector<float> operator()(Vector<float> x) const {
    const Bits bits = (Bits)x, rounded = (bits + half_ + ((bits >> 16) & odd_)) & mask_;
    return (Vector<float>)((bits & 0x7f800000u) == 0x7f800000u ? bits : rounded);  // infinity and NaN stay
  }

 private:
  using Bits = Vector<std::uint32_t>;
  std::uint32_t half_ = 0, odd_ = 0, mask_ = ~0u;
};

using Halves = std::uint16_t __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));

/// to[i] = from[i] for i < count.
AMEND_INLINE void widen(const BFloat16* from, std::int64_t count, float* to) {
  std::int64_t i = 0;
  for (; i + kLanes<float> <= count; i += kLanes<float>) {
    const auto word = __builtin_convertvector(*reinterpret_cast<const Halves*>(from + i), Vector<std::uint32_t>);
    store(to + i, (Vector<float>)(word << 16));
  }
  for (; i < count; ++i) to[i] = __builtin_bit_cast(float, std::uint32_t{from[i].bits} << 16);
}
/// The same, to the nearest, ties to even; NaN stays NaN.
AMEND_INLINE void narrow(const float* from, std::int64_t count, BFloat16* to) {
  const auto rounded = [](auto word) __attribute__((always_inline)) {
    const auto nearest = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    return (word & 0x7fffffffu) > 0x7f800000u ? decltype(word){} + 0x7fffu : nearest;
  };
  std::int64_t i = 0;
  for (; i + kLanes<float> <= count; i += kLanes<float>)
    *reinterpret_cast<Halves*>(to + i) =
        __builtin_convertvector(rounded((Vector<std::uint32_t>)load(from + i)), Halves);
  for (; i < count; ++i) to[i].bits = static_cast<std::uint16_t>(rounded(__builtin_bit_cast(std::uint32_t, from[i])));
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
