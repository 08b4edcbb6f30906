#pragma once

// Jensen-Shannon divergence of single rows: what divergence and feature_ablation share.

#include "kernels/cpu/logit_tile.hpp"

namespace amend::kernels::cpu {

/// s h(t) / 4 of one class, with s = p + q, t = (p - q) / s: see divergence.cpp. Inlined, loops over rows vectorise.
template <class T>
[[gnu::always_inline]] inline T divergence_term(T p, T q) {
  const T s = p + q, large = T(2) * p / s, small = T(2) * q / s, t = (p - q) / s, square = t * t;
  // Near t = 0 the logarithms cancel; h(t) = sum_k t^(2k) / (k (2k - 1)). At |t| < 1/4 this many terms reach epsilon.
  constexpr int kTerms = sizeof(T) == 4 ? 6 : 13;
  T series = T(0);
  for (int k = kTerms; k >= 1; --k) series = (series + T(1) / static_cast<T>(k * (2 * k - 1))) * square;
  const T exact = large * logarithm(large) + small * logarithm(small);
  return (square < T(0.0625) ? series : exact) * s * T(0.25);
}

/// divergence[r] between the softmax of row r of two (count, classes) matrices of logits. `buffer`: 2 classes elements.
template <class T>
void row_divergence(const T* logits_p, const T* logits_q, std::int64_t count, std::int64_t classes, T* buffer,
                    T* divergence) {
  if (classes == 2) {
    for (std::int64_t r = 0; r < count; ++r) {
      const TwoClasses<T> p(logits_p[2 * r + 1] - logits_p[2 * r]), q(logits_q[2 * r + 1] - logits_q[2 * r]);
      divergence[r] = divergence_term(p.first, q.first) + divergence_term(p.second, q.second);
    }
    return;
  }
  T *p = buffer, *q = buffer + classes;
  for (std::int64_t r = 0; r < count; ++r) {
    softmax(logits_p + r * classes, classes, p);
    softmax(logits_q + r * classes, classes, q);
    divergence[r] = T(0);
    for (std::int64_t c = 0; c < classes; ++c) divergence[r] += divergence_term(p[c], q[c]);
  }
}

}  // namespace amend::kernels::cpu
