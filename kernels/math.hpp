#pragma once

// Per-element maths that both twins share. The float versions are branch-free so that compilers vectorise them; the
// double versions are the standard library's. Error bounds are tested in test/op/math_test.cpp.

#include <bit>
#include <cmath>
#include <cstdint>

#include "engine/host_device.hpp"

namespace amend::kernels {

/// e^r of a float, or of every lane of a vector of floats, for |r| <= log(2) / 2.
template <class F>
AMEND_HOST_DEVICE inline F exponential_near_zero(F r) {
  F p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * r * r + r + 1.0f;
}

/// e^x of a float, or of every lane of a vector of floats, clamped to x <= highest; U is the unsigned integer of the
/// same shape.
template <class F, class U>
AMEND_HOST_DEVICE inline F exponential_lanes(F x, float highest = 88.0f) {
  x = x < -87.0f ? F{} - 87.0f : x;
  x = x > highest ? F{} + highest : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const F shifted = x * 1.44269504088896341f + kRound;
  const F n = shifted - kRound;
  F r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  const F p = exponential_near_zero(r);
  const U exponent = (std::bit_cast<U>(shifted) + 127u) << 23;
  return p * std::bit_cast<F>(exponent);
}

/// e^x. Float: relative error below 2 ulp on [-87, 88], clamped outside; NaN stays NaN.
AMEND_HOST_DEVICE inline float exponential(float x) { return exponential_lanes<float, std::uint32_t>(x); }
AMEND_HOST_DEVICE inline double exponential(double x) { return std::exp(x); }

/// Natural logarithm of a positive normal number. Float: absolute error below 1.2e-7 * max(1, |log x|).
AMEND_HOST_DEVICE inline float logarithm(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  // Split at sqrt(1/2) so that the mantissa lies in [sqrt(1/2), sqrt(2)).
  const std::uint32_t shifted = bits - 0x3f3504f3u;
  const float e = static_cast<float>(static_cast<std::int32_t>(shifted) >> 23);
  const float f = std::bit_cast<float>((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const float square = f * f;
  float y = p * f * square;
  y = y - e * 2.12194440e-4f;
  y = y - 0.5f * square;
  return f + y + e * 0.693359375f;
}
AMEND_HOST_DEVICE inline double logarithm(double x) { return std::log(x); }

/// Where -x of sigmoid(x) is clamped. Compilers form x / (1 + e^kSigmoidRange), for x below -kSigmoidRange, of every x
/// and choose afterwards: with 88 that would be a subnormal number, which Intel's processors take slowly.
inline constexpr float kSigmoidRange = 72.0f;

/// 1 / (1 + e^-x). Float: absolute error below 1.2e-7.
AMEND_HOST_DEVICE inline float sigmoid(float x) {
  return 1.0f / (1.0f + exponential_lanes<float, std::uint32_t>(-x, kSigmoidRange));
}
AMEND_HOST_DEVICE inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

/// x sigmoid(x). Float: error below 2.5e-7 max(1, |x|), and so is its slope's.
template <class T>
AMEND_HOST_DEVICE inline T silu(T x) {
  return x * sigmoid(x);
}
/// Derivative of silu.
template <class T>
AMEND_HOST_DEVICE inline T silu_slope(T x) {
  const T s = sigmoid(x);
  return s * (T(1) + x * (T(1) - s));
}

/// Hyperbolic tangent. Float: absolute error below 2e-7.
AMEND_HOST_DEVICE inline float hyperbolic_tangent(float x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }
AMEND_HOST_DEVICE inline double hyperbolic_tangent(double x) { return std::tanh(x); }

/// Inverse hyperbolic sine y, a logarithm with a sign. Float: absolute error below 4e-7 max(1, |y|) for |x| <= 1e18,
/// clamped beyond.
AMEND_HOST_DEVICE inline float signed_logarithm(float x) {
  float a = x < 0.0f ? -x : x;
  a = a > 1e18f ? 1e18f : a;
  const float y = logarithm(a + std::sqrt(a * a + 1.0f));
  return x < 0.0f ? -y : y;
}
AMEND_HOST_DEVICE inline double signed_logarithm(double x) { return std::asinh(x); }

}  // namespace amend::kernels
