#pragma once

// Jensen-Shannon divergence of single rows: what divergence and feature_ablation share.

#include "kernels/cpu/logit_tile.hpp"

namespace amend::kernels::cpu {

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
