#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "engine/host_device.hpp"

namespace amend {

/// Philox4x32-10: four random words from a 128-bit counter and a 64-bit key, without state.
/// Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.
AMEND_HOST_DEVICE inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint64_t key) {
  std::uint32_t key0 = static_cast<std::uint32_t>(key), key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

/// A named sequence of random numbers: number `index` of sequence (seed, stream, step) is always the same, in any order
/// and on any thread or device.
class RandomStream {
 public:
  AMEND_HOST_DEVICE RandomStream(std::uint64_t seed, std::uint32_t stream, std::uint32_t step = 0)
      : seed_(seed), stream_(stream), step_(step) {}

  /// Numbers 4 * index .. 4 * index + 3 at the price of one.
  AMEND_HOST_DEVICE std::array<std::uint32_t, 4> block(std::uint64_t index) const {
    return philox({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), stream_, step_}, seed_);
  }
  AMEND_HOST_DEVICE std::uint32_t bits(std::uint64_t index) const { return block(index >> 2)[index & 3]; }
  /// Uniform in the open interval (0, 1): 23 bits, so that 1 - u is exact and positive.
  AMEND_HOST_DEVICE float uniform(std::uint64_t index) const { return unit_interval(bits(index)); }
  AMEND_HOST_DEVICE static float unit_interval(std::uint32_t word) {
    return (static_cast<float>(word >> 9) + 0.5f) * (1.0f / 8388608.0f);
  }
  /// Uniform in {0, ..., bound - 1}.
  AMEND_HOST_DEVICE std::uint32_t below(std::uint64_t index, std::uint32_t bound) const {
    return static_cast<std::uint32_t>((std::uint64_t{bits(index)} * bound) >> 32);
  }
  /// Standard normal (Box-Muller); uses the pair of numbers 2 * index and 2 * index + 1.
  float normal(std::uint64_t index) const {
    const float radius = std::sqrt(-2.0f * std::log(uniform(2 * index)));
    return radius * std::cos(6.2831853071795864769f * uniform(2 * index + 1));
  }
  /// Standard logistic: log(u / (1 - u)).
  float logistic(std::uint64_t index) const {
    const float u = uniform(index);
    return std::log(u) - std::log1p(-u);
  }

 private:
  std::uint64_t seed_;
  std::uint32_t stream_, step_;
};

}  // namespace amend
