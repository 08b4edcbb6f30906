#pragma once

// What both twins of the kernels of features expect of their arguments.

#include <utility>

#include "kernels/arguments.hpp"
#include "kernels/edge_embed.hpp"
#include "kernels/edit_features.hpp"

namespace amend::kernels {

/// Throws Error unless what the input is formed from fits the batch.
inline void expect_edges(const char* operation, const char* name, const BlockTable& table, const EdgeInput& input,
                         DType dtype) {
  const Shape edges{table.edge_count}, nodes{table.node_count};
  if (input.first) {
    const FirstEdgeFeatures& f = input.first;
    for (const auto& [part, view] : {std::pair{"weight", f.weight}, std::pair{"fisher", f.fisher}})
      expect(operation, part, view, edges, dtype);
    if (f.gradient) expect(operation, "gradient", f.gradient, edges, dtype);
    expect(operation, "rms", f.rms, nodes, dtype);
    expect(operation, "energy", f.energy, nodes, dtype);
    expect(operation, "scales", f.scales, {table.block_count, kEdgeScales}, dtype);
  } else if (input.refine) {
    const RefineEdgeFeatures& f = input.refine;
    const std::int64_t objectives = f.gradient.extent(0);
    for (const auto& [part, view] :
         {std::pair{"weight", f.weight}, std::pair{"edited_weight", f.edited_weight}, std::pair{"logit", f.logit},
          std::pair{"residual", f.residual}, std::pair{"fisher", f.fisher}})
      expect(operation, part, view, edges, dtype);
    expect(operation, "gradient", f.gradient, {objectives, table.edge_count}, dtype);
    expect(operation, "step", f.step, {table.edge_count, objectives}, dtype);
    expect(operation, "scales", f.scales, {table.block_count, refine_edge_scales(objectives)}, dtype);
  } else {
    const bool narrow = input.rows.dtype == DType::bfloat16 && dtype == DType::float32;
    expect(operation, name, input.rows, {table.edge_count, input.width()}, narrow ? DType::bfloat16 : dtype);
  }
}

inline void validate(const EdgeEmbed& a) {
  check(a.input.first || a.input.refine, "edge_embed", "expected features as `input`");
  const DType dtype = a.input.dtype();
  const bool narrow = a.out.dtype == DType::bfloat16 && dtype == DType::float32;
  const std::int64_t d = a.weight.extent(0);
  expect_edges("edge_embed", "input", a.table, a.input, dtype);
  expect("edge_embed", "weight", a.weight, {d, a.input.width()}, dtype);
  expect("edge_embed", "bias", a.bias, {d}, dtype);
  expect("edge_embed", "out", a.out, {a.table.edge_count, d}, narrow ? DType::bfloat16 : dtype);
}

inline void validate(const EdgeEmbedGradient& g) {
  const EdgeEmbed& a = g.forward;
  validate(a);
  const DType dtype = a.input.dtype();
  expect("edge_embed", "grad_out", g.grad_out, a.out.shape, dtype);
  expect("edge_embed", "grad_weight", g.grad_weight, a.weight.shape, dtype);
  expect("edge_embed", "grad_bias", g.grad_bias, a.bias.shape, dtype);
}

inline void validate(const EditFeatures& a) {
  const DType dtype = a.weight.dtype;
  const Shape edges{a.table.edge_count}, nodes{a.table.node_count};
  for (const auto& [name, view] : {std::pair{"weight", a.weight}, std::pair{"fisher", a.fisher}})
    expect("edit_features", name, view, edges, dtype);
  for (const auto& [name, view] :
       {std::pair{"bias", a.bias}, std::pair{"fisher_bias", a.fisher_bias}, std::pair{"mean", a.mean},
        std::pair{"rms", a.rms}, std::pair{"correlation", a.correlation}})
    expect("edit_features", name, view, nodes, dtype);
  if (a.gradient) expect("edit_features", "gradient", a.gradient, edges, dtype);
  if (a.gradient_bias) expect("edit_features", "gradient_bias", a.gradient_bias, nodes, dtype);
  if (a.lambda) {
    expect("edit_features", "lambda", a.lambda, {a.table.network_count}, dtype);
    expect("edit_features", "prior", a.prior, edges, dtype);
  }
  if (a.neuron_lambda) {
    expect("edit_features", "neuron_lambda", a.neuron_lambda, {a.table.network_count}, dtype);
    expect("edit_features", "neuron_prior", a.neuron_prior, nodes, dtype);
  }
  expect("edit_features", "scale", a.scale, {a.table.block_count}, dtype);
  expect("edit_features", "edge_scales", a.edge_scales, {a.table.block_count, kEdgeScales}, dtype);
  expect("edit_features", "energy", a.energy, nodes, dtype);
  expect("edit_features", "node_feature", a.node_feature, {a.table.node_count, kNodeFeatures}, dtype);
}

inline void validate(const RefineFeatures& a) {
  const DType dtype = a.fisher.dtype;
  const std::int64_t objectives = a.gradient.extent(0), edges = a.table.edge_count, nodes = a.table.node_count;
  expect("refine_features", "fisher", a.fisher, {edges}, dtype);
  for (const auto& [name, view] :
       {std::pair{"edited_bias", a.edited_bias}, std::pair{"bias_residual", a.bias_residual},
        std::pair{"fisher_bias", a.fisher_bias}, std::pair{"mean", a.mean}, std::pair{"rms", a.rms},
        std::pair{"correlation", a.correlation}, std::pair{"original_fisher_bias", a.original_fisher_bias},
        std::pair{"original_mean", a.original_mean}, std::pair{"original_rms", a.original_rms}})
    expect("refine_features", name, view, {nodes}, dtype);
  expect("refine_features", "scale", a.scale, {a.table.block_count}, dtype);
  expect("refine_features", "gradient", a.gradient, {objectives, edges}, dtype);
  expect("refine_features", "gradient_bias", a.gradient_bias, {objectives, nodes}, dtype);
  expect("refine_features", "lambda", a.lambda, {a.table.network_count}, dtype);
  expect("refine_features", "edge_scales", a.edge_scales, {a.table.block_count, refine_edge_scales(objectives)}, dtype);
  expect("refine_features", "edge_step", a.edge_step, {edges, objectives}, dtype);
  expect("refine_features", "node_feature", a.node_feature, {nodes, refine_node_features(objectives)}, dtype);
  expect("refine_features", "node_step", a.node_step, {nodes, objectives}, dtype);
}

}  // namespace amend::kernels
