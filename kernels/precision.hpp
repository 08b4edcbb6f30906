#pragma once

#include <bit>
#include <cstdint>
#include <string>

#include "engine/bfloat16.hpp"

namespace amend::kernels {

/// What the D x D products of an operation multiply: float32 as they are, or operands rounded to tf32 (10 bits of
/// mantissa, ties away from zero) or bf16 (7 bits, ties to even) as tensor cores take them. Sums are float32 in all
/// three.
enum class Precision : std::uint8_t { float32, tf32, bf16 };

inline std::string to_string(Precision precision) {
  return precision == Precision::float32 ? "float32" : precision == Precision::tf32 ? "tf32" : "bf16";
}

/// x as a tensor core takes it.
inline float round_operand(Precision precision, float x) {
  if (precision == Precision::bf16) return static_cast<float>(BFloat16(x));
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  if (precision == Precision::float32 || (bits & 0x7f800000u) == 0x7f800000u) return x;  // infinity and NaN stay
  return std::bit_cast<float>((bits + 0x1000u) & ~std::uint32_t{0x1fff});
}

}  // namespace amend::kernels
