#pragma once

#include <bit>
#include <cstdint>

#include "engine/host_device.hpp"

namespace amend {

/// A float with 7 bits of mantissa: for storage only, arithmetic is done in float.
struct BFloat16 {
  std::uint16_t bits;

  BFloat16() = default;
  /// The nearest, ties to even; NaN stays NaN.
  AMEND_HOST_DEVICE explicit BFloat16(float x) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(x);
    const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
    bits = static_cast<std::uint16_t>(nan ? 0x7fffu : (word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
  AMEND_HOST_DEVICE explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
  AMEND_HOST_DEVICE explicit operator double() const { return static_cast<double>(static_cast<float>(*this)); }
};

}  // namespace amend
