#include "engine/random.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <vector>

using namespace amend;

namespace {
using Words = std::array<std::uint32_t, 4>;

struct Moments {
  double mean, variance;
};

template <class Draw>
Moments moments(int count, const Draw& draw) {
  double sum = 0, squares = 0;
  for (int i = 0; i < count; ++i) {
    const double x = draw(static_cast<std::uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  const double mean = sum / count;
  return {mean, squares / count - mean * mean};
}
}  // namespace

// kat_vectors of Random123, the reference implementation of Salmon et al. 2011.
TEST_CASE("philox4x32-10 gives the published known answers", "[engine]") {
  CHECK(philox({0, 0, 0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, ~std::uint64_t{0}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  // The first word of the key is its low half.
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random numbers follow from seed, stream, step and index alone", "[engine]") {
  const RandomStream stream(7, 3, 5);
  const Words words = philox({2, 0, 3, 5}, 7);
  for (std::uint64_t i = 0; i < 4; ++i) CHECK(stream.bits(8 + i) == words[i]);
  CHECK(stream.bits(std::uint64_t{1} << 34) == philox({0, 1, 3, 5}, 7)[0]);

  std::vector<std::uint32_t> forward, backward;
  for (std::uint64_t i = 0; i < 100; ++i) forward.push_back(stream.bits(i));
  for (std::uint64_t i = 100; i-- > 0;) backward.push_back(RandomStream(7, 3, 5).bits(i));
  std::reverse(backward.begin(), backward.end());
  CHECK(forward == backward);
}

TEST_CASE("seeds, streams and steps give different numbers", "[engine]") {
  std::set<std::uint32_t> seen;
  for (std::uint64_t seed : {1, 2})
    for (std::uint32_t stream : {0u, 1u, 2u})
      for (std::uint32_t step : {0u, 1u, 2u})
        for (std::uint64_t i = 0; i < 4; ++i) seen.insert(RandomStream(seed, stream, step).bits(i));
  CHECK(seen.size() == 2 * 3 * 3 * 4);
}

TEST_CASE("uniform numbers stay strictly between 0 and 1", "[engine]") {
  const RandomStream stream(1, 2, 3);
  // The first draws of this stream with 24 leading ones and with 24 leading zeros.
  REQUIRE(stream.bits(23540245) >> 8 == 0xFFFFFF);
  REQUIRE(stream.bits(6395076) >> 8 == 0);
  CHECK(stream.uniform(23540245) < 1.0f);
  CHECK(stream.uniform(6395076) > 0.0f);
  CHECK(std::isfinite(stream.logistic(23540245)));
  CHECK(std::isfinite(stream.logistic(6395076)));
}

TEST_CASE("random numbers have the moments of their distribution", "[engine]") {
  constexpr int kCount = 200000;
  const RandomStream stream(11, 1);
  // Five standard errors: sqrt(variance / count), and for the variance sqrt((kurtosis - 1) / count) * variance.
  const Moments uniform = moments(kCount, [&](std::uint64_t i) { return stream.uniform(i); });
  CHECK(uniform.mean == Approx(0.5).margin(5 * 0.2887 / 447));
  CHECK(uniform.variance == Approx(1.0 / 12).margin(5 * 0.0745 / 447));
  const Moments normal = moments(kCount, [&](std::uint64_t i) { return stream.normal(i); });
  CHECK(normal.mean == Approx(0.0).margin(5 * 1.0 / 447));
  CHECK(normal.variance == Approx(1.0).margin(5 * 1.414 / 447));
  const Moments logistic = moments(kCount, [&](std::uint64_t i) { return stream.logistic(i); });
  CHECK(logistic.mean == Approx(0.0).margin(5 * 1.814 / 447));
  CHECK(logistic.variance == Approx(3.289868).margin(5 * 5.89 / 447));
}

TEST_CASE("bounded random integers cover their range evenly", "[engine]") {
  constexpr int kCount = 70000;
  const RandomStream stream(5, 9);
  std::array<int, 7> counts{};
  for (int i = 0; i < kCount; ++i) {
    const std::uint32_t value = stream.below(static_cast<std::uint64_t>(i), 7);
    REQUIRE(value < 7);
    ++counts[value];
  }
  for (int count : counts) CHECK(std::abs(count - kCount / 7) < 5 * 93);  // sqrt(n p (1 - p)) = 93
  CHECK(stream.below(0, 1) == 0);
}
