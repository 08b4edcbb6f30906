#pragma once

// Products and packed matrices of functions.hpp.

#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/multiply.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

template <class T>
constexpr std::int64_t packed_width(std::int64_t columns) {
  return (columns + kPanel<T> - 1) / kPanel<T> * kPanel<T>;
}

template <class T>
void pack(const PackedMatrix<T>& a) {
  T* to = a.packed;
  for (std::int64_t first = 0; first < a.columns; first += kPanel<T>) {
    const std::int64_t count = a.columns - first < kPanel<T> ? a.columns - first : kPanel<T>;
    if (a.row == 1) {
      transpose<T>(count, a.rows, a.data + first * a.column, a.column, to, kPanel<T>);
      for (std::int64_t i = 0; i < a.rows; ++i, to += kPanel<T>)
        for (std::int64_t j = count; j < kPanel<T>; ++j) to[j] = T(0);
      continue;
    }
    for (std::int64_t i = 0; i < a.rows; ++i, to += kPanel<T>) {
      const T* from = a.data + i * a.row + first * a.column;
      if (a.column == 1)
        for (std::int64_t j = 0; j < count; ++j) to[j] = from[j];
      else
        for (std::int64_t j = 0; j < count; ++j) to[j] = from[j * a.column];
      for (std::int64_t j = count; j < kPanel<T>; ++j) to[j] = T(0);
    }
  }
}

template <class T>
void product(const SmallProduct<T>& args) {
  const SmallProduct<T> p = args;  // a copy: stores cannot change it
  const Left<T> a{p.a, p.a_row, p.a_term};
  Right<T> b = row_major(p.b, p.b_row);
  if (p.b_packed != nullptr) {
    b = packed(p.b_packed, p.k);
  } else if (p.b_column != 1 || (p.n % kLanes<T> != 0 && kVectorBytes == 16)) {  // there are no masks
    pack<T>({p.k, p.n, p.b, p.b_row, p.b_column, p.room});
    b = packed(static_cast<const T*>(p.room), p.k);
  }
  // Apart, so that the loops behind each have no branches.
  if (p.alpha == T(1) && p.beta == T(0))
    multiply(p.m, p.n, p.k, a, b, p.bias, [&](std::int64_t i, std::int64_t j, Vector<T> sum, auto lanes) {
      store(p.c + i * p.c_row + j, sum, lanes);
    });
  else
    multiply(p.m, p.n, p.k, a, b, [&](std::int64_t i, std::int64_t j, Vector<T> sum, auto lanes) {
      T* c = p.c + i * p.c_row + j;
      store(c, p.beta == T(0) ? p.alpha * sum : p.alpha * sum + p.beta * load(c, lanes), lanes);
    });
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
