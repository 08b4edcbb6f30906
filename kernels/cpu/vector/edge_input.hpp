#pragma once

// What edges read, a tile at a time: rows where they lie, or features, formed column by column so that the loops over
// the edges of a tile are of vectors.

#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/multiply.hpp"
#include "kernels/cpu/vector/rounding.hpp"
#include "kernels/cpu/vector/walk.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

/// Edges of a tile: whole vectors.
inline constexpr std::int64_t kInputEdges = 48;

template <class T>
std::int64_t edge_input_scratch(std::int64_t width) {
  return kInputEdges * width;
}

/// A number for every edge of a tile. What lies beyond the last edge is 1, so that a feature of it is a number.
template <class T>
struct TileColumn {
  T value[kInputEdges];

  AMEND_INLINE TileColumn() {
    for (std::int64_t k = 0; k < kInputEdges; ++k) value[k] = T(1);
  }
  AMEND_INLINE TileColumn(const T* from, std::int64_t edges, std::int64_t step = 1) : TileColumn() {
    if (step == 1 && edges == kInputEdges)
      __builtin_memcpy(value, from, sizeof(value));
    else if (step == 1)
      __builtin_memcpy(value, from, static_cast<std::size_t>(edges) * sizeof(T));
    else
      for (std::int64_t k = 0; k < edges; ++k) value[k] = from[k * step];
  }
  AMEND_INLINE T operator[](std::int64_t k) const { return value[k]; }
};

/// `form(k, f)` gives the kWidth features f of edge k: feature c becomes columns[c * kInputEdges + k].
template <std::int64_t kWidth, class T, class Form>
AMEND_INLINE void form_columns(T* columns, const Form& form) {
  T column[kWidth][kInputEdges];
  for (std::int64_t k = 0; k < kInputEdges; ++k) {
    T f[kWidth];
    form(k, f);
#pragma GCC unroll 16
    for (int c = 0; c < int{kWidth}; ++c) column[c][k] = f[c];
  }
  __builtin_memcpy(columns, column, sizeof(column));
}

template <bool kGradient, class T>
AMEND_INLINE void form_first(const FirstFeatureRows<T>& in, std::int64_t begin, std::int64_t edges, Walk at,
                             T* columns) {
  const TileColumn<T> weight(in.weight + begin, edges), fisher(in.fisher + begin, edges);
  const TileColumn<T> gradient = kGradient ? TileColumn<T>(in.gradient + begin, edges) : TileColumn<T>();
  TileColumn<T> rms, energy;
  for_row_pieces(at, edges, [&](std::int64_t first, std::int64_t count, std::int64_t row, std::int64_t col) {
    for (std::int64_t k = 0; k < count; ++k) {
      rms.value[first + k] = in.rms[col + k];
      energy.value[first + k] = in.energy[row];
    }
  });
  const EdgeScales<T> scales = in.scales;
  form_columns<kOwnFeatures>(
      columns, [&](std::int64_t k, T * f) __attribute__((always_inline)) {
        features_of_edge<kGradient>(scales, weight[k], fisher[k], gradient[k], rms[k], energy[k], f);
      });
  for (int kind = 0; kind < kBlockKinds; ++kind)
    for (std::int64_t k = 0; k < kInputEdges; ++k)
      columns[(kOwnFeatures + kind) * kInputEdges + k] = static_cast<T>(kind == in.kind);
}

template <class T>
AMEND_INLINE void form_refine(const RefineFeatureRows<T>& in, std::int64_t begin, std::int64_t edges, T* columns) {
  const TileColumn<T> weight(in.weight + begin, edges), edited(in.edited + begin, edges);
  const RefineScales<T> scales = in.scales;
  {
    const TileColumn<T> logit(in.logit + begin, edges), residual(in.residual + begin, edges),
        fisher(in.fisher + begin, edges);
    form_columns<5>(
        columns, [&](std::int64_t k, T * f) __attribute__((always_inline)) {
          refine_features_of_edge(scales, edited[k], logit[k], residual[k], fisher[k], f);
        });
  }
  for (std::int64_t o = 0; o < in.objectives; ++o) {
    const TileColumn<T> gradient(in.gradient + o * in.gradient_step + begin, edges),
        step(in.step + begin * in.objectives + o, edges, in.objectives);
    const T gradient_rms = in.gradient_rms[o];
    form_columns<4>(
        columns + (5 + 4 * o) * kInputEdges, [&](std::int64_t k, T * f) __attribute__((always_inline)) {
          refine_features_of_gradient(scales, weight[k], edited[k], gradient[k], gradient_rms, step[k], f);
        });
  }
}

/// What edges begin .. begin + edges - 1 read, as the left factor of a product. `at` is where the first of them is,
/// `room` for features and for rows of another type.
template <class T>
[[gnu::noinline]] Left<T> edge_inputs(const EdgeInputRows<T>& in, std::int64_t begin, std::int64_t edges, Walk at,
                                      T* room) {
  using Kind = typename EdgeInputRows<T>::Kind;
  if (in.kind == Kind::rows) return {in.rows + begin * in.width, in.width, 1};
  if (in.kind == Kind::narrow_rows) {
    if constexpr (sizeof(T) == 4) widen(in.narrow_rows + begin * in.width, edges * in.width, room);
    return {room, in.width, 1};
  }
  if (in.kind == Kind::refine)
    form_refine(in.refine, begin, edges, room);
  else if (in.first.gradient != nullptr)
    form_first<true>(in.first, begin, edges, at, room);
  else
    form_first<false>(in.first, begin, edges, at, room);
  return {room, 1, kInputEdges};
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
