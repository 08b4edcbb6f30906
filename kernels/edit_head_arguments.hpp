#pragma once

// What both twins of edit_head expect of their arguments.

#include "kernels/edit_head.hpp"
#include "kernels/feature_arguments.hpp"

namespace amend::kernels {

/// Throws Error unless the arguments fit each other.
inline void validate(const EditHead& a) {
  const std::int64_t d = a.edge.width(), d2 = a.edge2.width(), h = a.weight.extent(0), outputs = a.out.extent(1);
  const DType dtype = a.edge.dtype();
  expect_edges("edit_head", "edge", a.table, a.edge, dtype);
  expect("edit_head", "weight", a.weight, {h, d}, dtype);
  if (a.edge2) {
    expect_edges("edit_head", "edge2", a.table, a.edge2, dtype);
    expect("edit_head", "weight2", a.weight2, {h, d2}, dtype);
  }
  expect("edit_head", "projection", a.projection, {a.table.node_count, 2 * h}, dtype);
  expect("edit_head", "kind_bias", a.kind_bias, {kBlockKinds, h}, dtype);
  if (a.mix) expect("edit_head", "mix", a.mix, {h, h}, dtype);
  expect("edit_head", "head", a.head, {kBlockKinds, outputs, h}, dtype);
  expect("edit_head", "head_bias", a.head_bias, {kBlockKinds, outputs}, dtype);
  expect("edit_head", "out", a.out, {a.table.edge_count, outputs}, dtype);
}

inline void validate(const EditHeadGradient& g) {
  const EditHead& a = g.forward;
  validate(a);
  const DType dtype = a.edge.dtype();
  for (const EdgeInput* input : {&a.edge, &a.edge2})
    check(input->rows.dtype != DType::bfloat16, "edit_head", "expected ", dtype,
          " rows in a backward pass, got bfloat16");
  expect("edit_head", "grad_out", g.grad_out, a.out.shape, dtype);
  if (g.grad_edge) expect("edit_head", "grad_edge", g.grad_edge, a.edge.rows.shape, dtype);
  if (g.grad_edge2) expect("edit_head", "grad_edge2", g.grad_edge2, a.edge2.rows.shape, dtype);
  expect("edit_head", "grad_weight", g.grad_weight, a.weight.shape, dtype);
  if (a.edge2) expect("edit_head", "grad_weight2", g.grad_weight2, a.weight2.shape, dtype);
  expect("edit_head", "grad_projection", g.grad_projection, a.projection.shape, dtype);
  expect("edit_head", "grad_kind_bias", g.grad_kind_bias, a.kind_bias.shape, dtype);
  if (a.mix) expect("edit_head", "grad_mix", g.grad_mix, a.mix.shape, dtype);
  expect("edit_head", "grad_head", g.grad_head, a.head.shape, dtype);
  expect("edit_head", "grad_head_bias", g.grad_head_bias, a.head_bias.shape, dtype);
}

}  // namespace amend::kernels
