#pragma once

// Softmax of single rows, shared by both twins. No probability lies below the smallest normal number.

#include <cstdint>
#include <limits>

#include "kernels/math.hpp"

namespace amend::kernels {

/// e^-|margin| and with it both probabilities of a two-class softmax.
template <class T>
struct TwoClasses {
  T first, second;  // probability of class 0 and of class 1
  AMEND_HOST_DEVICE explicit TwoClasses(T margin) {
    const T e = exponential(margin < T(0) ? margin : -margin), large = T(1) / (T(1) + e);
    const T product = e * large, floor = std::numeric_limits<T>::min();
    const T small = product < floor ? floor : product;
    first = margin < T(0) ? large : small;
    second = margin < T(0) ? small : large;
  }
};

/// -log of a probability, exp(logit - largest) / sum. A NaN, which the logarithm of single precision would not notice,
/// stays one.
template <class T>
AMEND_HOST_DEVICE inline T surprise_of(T sum, T largest, T logit) {
  return logarithm(sum) + (largest - logit) + (sum - sum);
}

/// A row of logits of any length, whose probabilities are formed one at a time: nothing is stored.
template <class T>
struct SoftmaxRow {
  T largest, sum;
  AMEND_HOST_DEVICE SoftmaxRow(const T* z, std::int64_t classes) : largest(z[0]), sum(T(0)) {
    for (std::int64_t c = 1; c < classes; ++c) largest = z[c] > largest ? z[c] : largest;
    for (std::int64_t c = 0; c < classes; ++c) sum += exponential(z[c] - largest);
  }
  AMEND_HOST_DEVICE T probability(T logit) const {
    const T p = exponential(logit - largest) / sum, floor = std::numeric_limits<T>::min();
    return p < floor ? floor : p;
  }
  /// -log of the probability.
  AMEND_HOST_DEVICE T surprise(T logit) const { return surprise_of(sum, largest, logit); }
};

/// One class's part of the Jensen-Shannon divergence, s h(t) / 4 with s = p + q, t = (p - q) / s: see divergence.cpp.
/// Inlined, loops over rows vectorise.
template <class T>
[[gnu::always_inline]] AMEND_HOST_DEVICE inline T divergence_term(T p, T q) {
  const T s = p + q, large = T(2) * p / s, small = T(2) * q / s, t = (p - q) / s, square = t * t;
  // Near t = 0 the logarithms cancel; h(t) = sum_k t^(2k) / (k (2k - 1)). At |t| < 1/4 this many terms reach epsilon.
  constexpr int kTerms = sizeof(T) == 4 ? 6 : 13;
  T series = T(0);
  for (int k = kTerms; k >= 1; --k) series = (series + T(1) / static_cast<T>(k * (2 * k - 1))) * square;
  const T exact = large * logarithm(large) + small * logarithm(small);
  return (square < T(0.0625) ? series : exact) * s * T(0.25);
}

/// The Jensen-Shannon divergence between the softmaxes of two rows of logits.
template <class T>
AMEND_HOST_DEVICE inline T divergence_of_row(const T* zp, const T* zq, std::int64_t classes) {
  if (classes == 2) {
    const TwoClasses<T> p(zp[1] - zp[0]), q(zq[1] - zq[0]);
    return divergence_term(p.first, q.first) + divergence_term(p.second, q.second);
  }
  const SoftmaxRow<T> p(zp, classes), q(zq, classes);
  T sum = T(0);
  for (std::int64_t c = 0; c < classes; ++c) sum += divergence_term(p.probability(zp[c]), q.probability(zq[c]));
  return sum;
}

/// The divergence's derivative by q.
template <class T>
AMEND_HOST_DEVICE inline T divergence_slope(T p, T q) {
  return T(0.5) * logarithm(T(2) * q / (p + q));
}

}  // namespace amend::kernels
