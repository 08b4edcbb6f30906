#pragma once

// Products with few columns: a dot product for each of their elements, as many at a time as a vector has lanes.

#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/vector.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// As Functions::dots. kTerms is the number of terms where it is known to the compiler, else 0.
template <int kTerms, class T>
AMEND_INLINE void dot_products(const DotProducts<T>& args) {
  const DotProducts<T> p = args;  // a copy: stores cannot change it
  const std::int64_t numbers = p.rows * p.columns;
  const T *a = p.a, *w = p.w, *bias = p.bias;
  std::int64_t column = 0;
  for (std::int64_t begin = 0; begin < numbers; begin += kLanes<T>) {
    Vector<T> product[kLanes<T>];
#pragma GCC unroll 16
    for (std::int64_t n = 0; n < kLanes<T>; ++n) {
      product[n] = bias == nullptr ? Vector<T>{} : Vector<T>{bias[column]};
      for_vectors<T, kTerms>(
          p.terms, [&](std::int64_t i, auto lanes) { product[n] += load(a + i, lanes) * load(w + i, lanes); });
      if (begin + n + 1 >= numbers) continue;  // the last one again
      w += p.w_row;
      if (++column == p.columns) column = 0, w = p.w, a += p.a_row;
    }
    const Vector<T> sum = lane_sums<T>(product);
    if (begin + kLanes<T> <= numbers)
      store(p.to + begin, sum);
    else
      store(p.to + begin, sum, numbers - begin);
  }
}

template <class T>
void dots(const DotProducts<T>& p) {
  if constexpr (sizeof(T) == 4) switch (p.terms) {
      case 16: return dot_products<16>(p);
      case 32: return dot_products<32>(p);
    }
  dot_products<0>(p);
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
