#pragma once

#include <cmath>

#include "kernels/edge_embed.hpp"
#include "test/support/op_run.hpp"

namespace amend::test {

/// The weights of an embedding that leaves features as they are.
inline Tensor identity(std::int64_t width, DType dtype) {
  std::vector<double> one(static_cast<std::size_t>(width * width), 0.0);
  for (std::int64_t i = 0; i < width; ++i) one[static_cast<std::size_t>(i * (width + 1))] = 1.0;
  return make_tensor({width, width}, dtype, one);
}

/// Features as rows, as the CPU forms them: feature (edges, input.width()).
inline void form_rows(const kernels::BlockTable& table, const kernels::EdgeInput& input, const TensorView& feature) {
  const std::int64_t width = input.width();
  const Tensor weight = identity(width, input.dtype()), bias({width}, input.dtype());
  kernels::edge_embed_forward({.table = table, .input = input, .weight = weight, .bias = bias, .out = feature},
                              Stream{});
}

/// What features of weights are formed from, at random.
class RandomFeatures {
 public:
  RandomFeatures(const kernels::BlockTable& table, DType dtype, std::int64_t objectives, bool gradient)
      : table_(table), gradient_(gradient) {
    const Shape edges{table.edge_count};
    std::uint64_t seed = 100;
    const auto random = [&](Shape shape, double scale) { return random_tensor(shape, dtype, seed++, scale); };
    const auto positive = [&](Shape shape, double scale) {
      std::vector<double> all = values(random(shape, scale));
      for (double& x : all) x = std::fabs(x) + 0.0078125;
      return make_tensor(shape, dtype, all);
    };
    for (Tensor* x : {&weight_, &edited_}) *x = random(edges, 0.5);
    logit_ = random(edges, 4.0);
    residual_ = random(edges, 0.3);
    fisher_ = positive(edges, 0.1);
    one_gradient_ = random(edges, 0.02);
    gradients_ = random({objectives, table.edge_count}, 0.02);
    step_ = random({table.edge_count, objectives}, 0.5);
    rms_ = positive({table.node_count}, 1.0);
    energy_ = positive({table.node_count}, 1.0);
    scales_ = positive({table.block_count, kernels::kEdgeScales}, 0.5);
    refine_scales_ = positive({table.block_count, kernels::refine_edge_scales(objectives)}, 0.5);
  }

  kernels::EdgeInput first() const {
    return {.first = {.weight = weight_,
                      .fisher = fisher_,
                      .gradient = gradient_ ? one_gradient_.view() : TensorView{},
                      .rms = rms_,
                      .energy = energy_,
                      .scales = scales_}};
  }
  kernels::EdgeInput refine() const {
    return {.refine = {.weight = weight_,
                       .edited_weight = edited_,
                       .logit = logit_,
                       .residual = residual_,
                       .fisher = fisher_,
                       .gradient = gradients_,
                       .step = step_,
                       .scales = refine_scales_}};
  }
  /// The features, as the CPU forms them.
  Tensor rows(const kernels::EdgeInput& input) const {
    const Tensor feature({table_.edge_count, input.width()}, input.dtype());
    form_rows(table_, input, feature);
    return feature;
  }

 private:
  const kernels::BlockTable& table_;
  bool gradient_;
  Tensor weight_, edited_, logit_, residual_, fisher_, one_gradient_, gradients_, step_, rms_, energy_, scales_,
      refine_scales_;
};

}  // namespace amend::test
