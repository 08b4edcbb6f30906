#pragma once

// What a kernel reads of an edge: its ends, and rows that lie in memory or features that it forms.

#include "kernels/cuda/edge_rows.cuh"
#include "kernels/edge_input.hpp"
#include "kernels/feature_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

/// What an edge reads of its ends.
struct EdgeEnds {
  std::int64_t target, source;  // node rows
  std::int32_t kind;            // -1: there is no such edge
  std::int32_t block;
};

/// The ends of edge `edge`; `block` is a block at or before its own, and becomes it.
__device__ inline EdgeEnds find_ends(const BlockTable& table, std::int64_t edge, std::int32_t& block) {
  while (table.block_edges.offset[block + 1] <= edge) ++block;
  const Block& of = table.block[block];
  const auto local = static_cast<std::uint32_t>(edge - of.edge_offset);
  const std::uint32_t row = local / static_cast<std::uint32_t>(of.cols);
  return {of.target_offset + row, of.source_offset + (local - row * static_cast<std::uint32_t>(of.cols)),
          static_cast<std::int32_t>(of.kind), block};
}

/// An EdgeInput on the device.
template <class T>
struct EdgeSource {
  enum class Kind { rows, first, refine };
  Kind kind = Kind::rows;
  std::int32_t width = 0, objectives = 0;
  std::int64_t edges = 0;
  const T* rows = nullptr;
  const BFloat16* narrow_rows = nullptr;  // instead, beside float32
  const T *weight = nullptr, *fisher = nullptr, *gradient = nullptr, *scales = nullptr;
  const T *rms = nullptr, *energy = nullptr;                                          // of the first pass
  const T *edited = nullptr, *logit = nullptr, *residual = nullptr, *step = nullptr;  // of a refinement

  EdgeSource() = default;
  explicit EdgeSource(const EdgeInput& input) : width(static_cast<std::int32_t>(input.width())) {
    const auto read = [this](const auto& f) {
      weight = elements<T>(f.weight);
      fisher = elements<T>(f.fisher);
      gradient = elements<T>(f.gradient);
      scales = elements<T>(f.scales);
    };
    if (input.first) {
      const FirstEdgeFeatures& f = input.first;
      kind = Kind::first;
      read(f);
      rms = elements<T>(f.rms);
      energy = elements<T>(f.energy);
    } else if (input.refine) {
      const RefineEdgeFeatures& f = input.refine;
      kind = Kind::refine;
      objectives = static_cast<std::int32_t>(f.gradient.extent(0));
      edges = f.gradient.extent(1);
      read(f);
      edited = elements<T>(f.edited_weight);
      logit = elements<T>(f.logit);
      residual = elements<T>(f.residual);
      step = elements<T>(f.step);
    } else if (input.rows.dtype == DType::bfloat16) {
      narrow_rows = input.rows.as<BFloat16>();
    } else {
      rows = elements<T>(input.rows);
    }
  }

  /// Rows from memory: those of `count` edges from `first` on become tile[edge * stride], by all of `threads` threads.
  __device__ void stage(std::int64_t first, std::int32_t count, T* tile, std::int32_t stride, std::int32_t thread,
                        std::int32_t threads) const {
    if (kind != Kind::rows) return;
    if (narrow_rows)
      stage_rows(narrow_rows + first * width, count, width, tile, stride, thread, threads);
    else
      stage_rows(rows + first * width, count, width, tile, stride, thread, threads);
  }
  __device__ bool forms() const { return kind != Kind::rows; }
  /// Features: those of one edge become f[0 .. width). A call instead would put what its caller knows on the stack.
  __device__ __forceinline__ void form(std::int64_t edge, const EdgeEnds& ends, T* f) const {
    if (kind == Kind::first) {
      const auto own = EdgeScales<T>::load(scales + ends.block * kEdgeScales);
      if (gradient)
        features_of_edge<true>(own, weight[edge], fisher[edge], gradient[edge], rms[ends.source], energy[ends.target],
                               f);
      else
        features_of_edge<false>(own, weight[edge], fisher[edge], T(0), rms[ends.source], energy[ends.target], f);
      for (int k = 0; k < kBlockKinds; ++k) f[kOwnFeatures + k] = ends.kind == k ? T(1) : T(0);
    } else if (kind == Kind::refine) {
      const T* row = scales + ends.block * refine_edge_scales(objectives);
      const auto own = RefineScales<T>::load(row);
      refine_features_of_edge(own, edited[edge], logit[edge], residual[edge], fisher[edge], f);
      for (std::int32_t o = 0; o < objectives; ++o)
        refine_features_of_gradient(own, weight[edge], edited[edge], gradient[o * edges + edge],
                                    row[refine_edge_scales(0) + o], step[edge * objectives + o], f + 5 + 4 * o);
    }
  }
};

}  // namespace amend::kernels::AMEND_CUDA_TWIN
