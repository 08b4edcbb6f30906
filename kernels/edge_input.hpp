#pragma once

#include "kernels/block_table.hpp"

// What kernels read of every edge. Features describe the network and the probe, and are constants to the editor; they
// are formed on the way, from a few numbers, and never lie in memory.

namespace amend::kernels {

/// Features of a weight at first, and the numbers a block that they are held against (EdgeScales of feature_math.hpp).
inline constexpr std::int64_t kEdgeFeatures = 15;
inline constexpr std::int64_t kEdgeScales = 8;

/// What the features of the first pass are formed from (design: input features of edges).
struct FirstEdgeFeatures {
  TensorView weight;    // (edges)
  TensorView fisher;    // (edges)
  TensorView gradient;  // (edges), of the requirements on predictions; optional: 0
  TensorView rms;       // (nodes), of the sources
  TensorView energy;    // (nodes), of the targets: written by edit_features
  TensorView scales;    // (blocks, kEdgeScales): written by edit_features

  explicit operator bool() const { return scales.shape.rank() == 2; }  // of a batch of no networks, too
};

/// The same of refinement passes with `objectives` gradients (RefineScales, then a root mean square a gradient).
constexpr std::int64_t refine_edge_features(std::int64_t objectives) { return 5 + 4 * objectives; }
constexpr std::int64_t refine_edge_scales(std::int64_t objectives) { return 5 + objectives; }

struct RefineEdgeFeatures {
  TensorView weight;         // (edges), original
  TensorView edited_weight;  // (edges)
  TensorView logit;          // (edges), state
  TensorView residual;       // (edges), state
  TensorView fisher;         // (edges), of the edited network
  TensorView gradient;       // (objectives, edges)
  TensorView step;           // (edges, objectives): written by refine_features
  TensorView scales;         // (blocks, refine_edge_scales(objectives)): written by refine_features

  explicit operator bool() const { return scales.shape.rank() == 2; }  // of a batch of no networks, too
};

/// What a kernel reads of every edge: the one of these that is given.
struct EdgeInput {
  TensorView rows;  // (edges, width); in forward passes also of type bfloat16, beside float32
  FirstEdgeFeatures first;
  RefineEdgeFeatures refine;

  explicit operator bool() const { return rows.shape.rank() == 2 || first || refine; }
  std::int64_t width() const {
    if (first) return kEdgeFeatures;
    return refine ? refine_edge_features(refine.gradient.extent(0)) : rows.shape.rank() == 2 ? rows.extent(1) : 0;
  }
  /// Of the arithmetic.
  DType dtype() const {
    if (first || refine) return first ? first.scales.dtype : refine.scales.dtype;
    return rows.dtype == DType::bfloat16 ? DType::float32 : rows.dtype;
  }
};

}  // namespace amend::kernels
