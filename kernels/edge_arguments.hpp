#pragma once

// What both twins of edge_update expect of their arguments.

#include "kernels/arguments.hpp"
#include "kernels/edge_update.hpp"

namespace amend::kernels {

/// Throws Error unless the arguments fit each other. States may be bfloat16 when the products are; the rest is float32
/// then.
inline void validate(const EdgeUpdate& a) {
  const std::int64_t d = a.edge.extent(1);
  const bool narrow = a.edge.dtype == DType::bfloat16;
  const DType dtype = narrow ? DType::float32 : a.edge.dtype;
  check(!narrow || a.precision == Precision::bf16, "edge_update", "expected precision bf16 with bfloat16 edges");
  check(a.precision == Precision::float32 || dtype == DType::float32, "edge_update",
        "expected float32 tensors with precisions tf32 and bf16, got ", dtype);
  expect("edge_update", "edge", a.edge, {a.table.edge_count, d}, a.edge.dtype);
  expect("edge_update", "projection", a.projection, {a.table.node_count, 4 * d}, dtype);
  expect("edge_update", "weight_c", a.weight_c, {d, d}, dtype);
  expect("edge_update", "weight_g", a.weight_g, {d, d}, dtype);
  expect("edge_update", "modulation", a.modulation, {a.table.network_count, 3 * d}, dtype);
  expect("edge_update", "edge_out", a.edge_out, a.edge.shape, a.edge.dtype);
  expect("edge_update", "aggregate", a.aggregate, {a.table.node_count, 2 * d}, dtype);
}

inline void validate(const EdgeUpdateGradient& g) {
  const EdgeUpdate& a = g.forward;
  validate(a);
  const DType dtype = a.edge.dtype;
  check(dtype != DType::bfloat16, "edge_update", "expected float32 edges in a backward pass, got bfloat16");
  if (g.grad_edge_out) expect("edge_update", "grad_edge_out", g.grad_edge_out, a.edge.shape, dtype);
  if (g.grad_aggregate) expect("edge_update", "grad_aggregate", g.grad_aggregate, a.aggregate.shape, dtype);
  if (g.grad_edge) expect("edge_update", "grad_edge", g.grad_edge, a.edge.shape, dtype);
  expect("edge_update", "grad_projection", g.grad_projection, a.projection.shape, dtype);
  expect("edge_update", "grad_weight_c", g.grad_weight_c, a.weight_c.shape, dtype);
  expect("edge_update", "grad_weight_g", g.grad_weight_g, a.weight_g.shape, dtype);
  expect("edge_update", "grad_modulation", g.grad_modulation, a.modulation.shape, dtype);
}

}  // namespace amend::kernels
