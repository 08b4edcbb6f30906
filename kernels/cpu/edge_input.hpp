#pragma once

// What the edges of a chunk read, for the inner loops.

#include "kernels/cpu/block_chunk.hpp"
#include "kernels/cpu/vector/functions.hpp"

namespace amend::kernels::cpu {

/// The first edge of a chunk.
inline std::int64_t first_edge(const BlockTable& table, const BlockChunk& chunk) {
  const Block& block = table.block[chunk.block];
  return block.edge_offset + std::int64_t{chunk.first_row} * block.cols;
}

template <class T>
class EdgeInputOf {
 public:
  explicit EdgeInputOf(const EdgeInput& input) : width_(input.width()) {
    using Kind = typename EdgeInputRows<T>::Kind;
    if (input.first) {
      const FirstEdgeFeatures& f = input.first;
      all_.kind = Kind::first;
      scales_ = f.scales.as<T>();
      all_.first = {.weight = f.weight.as<T>(),
                    .fisher = f.fisher.as<T>(),
                    .gradient = elements<T>(f.gradient),
                    .rms = f.rms.as<T>(),
                    .energy = f.energy.as<T>()};
    } else if (input.refine) {
      const RefineEdgeFeatures& f = input.refine;
      all_.kind = Kind::refine;
      scales_ = f.scales.as<T>();
      all_.refine = {.objectives = f.gradient.extent(0),
                     .weight = f.weight.as<T>(),
                     .edited = f.edited_weight.as<T>(),
                     .logit = f.logit.as<T>(),
                     .residual = f.residual.as<T>(),
                     .fisher = f.fisher.as<T>(),
                     .gradient = f.gradient.as<T>(),
                     .gradient_step = f.gradient.extent(1),
                     .step = f.step.as<T>()};
    } else if (input.rows.dtype == DType::bfloat16) {
      all_.kind = Kind::narrow_rows;
      all_.narrow_rows = input.rows.as<BFloat16>();
    } else {
      all_.rows = elements<T>(input.rows);
    }
    all_.width = width_;
  }

  EdgeInputRows<T> rows(const BlockTable& table, const BlockChunk& chunk) const {
    using Kind = typename EdgeInputRows<T>::Kind;
    const Block& block = table.block[chunk.block];
    const std::int64_t at = first_edge(table, chunk);
    EdgeInputRows<T> own = all_;
    if (own.kind == Kind::first) {
      FirstFeatureRows<T>& f = own.first;
      f.scales = EdgeScales<T>::load(scales_ + chunk.block * kEdgeScales);
      f.kind = static_cast<int>(block.kind);
      for (const T** x : {&f.weight, &f.fisher}) *x += at;
      if (f.gradient) f.gradient += at;
      f.rms += block.source_offset;
      f.energy += block.target_offset + chunk.first_row;
    } else if (own.kind == Kind::refine) {
      RefineFeatureRows<T>& f = own.refine;
      const T* scales = scales_ + chunk.block * refine_edge_scales(f.objectives);
      f.scales = RefineScales<T>::load(scales);
      f.gradient_rms = scales + refine_edge_scales(0);
      for (const T** x : {&f.weight, &f.edited, &f.logit, &f.residual, &f.fisher, &f.gradient}) *x += at;
      f.step += at * f.objectives;
    } else if (own.kind == Kind::narrow_rows) {
      own.narrow_rows += at * width_;
    } else if (own.rows) {
      own.rows += at * width_;
    }
    return own;
  }

 private:
  std::int64_t width_;
  EdgeInputRows<T> all_;  // of the batch
  const T* scales_ = nullptr;
};

}  // namespace amend::kernels::cpu
