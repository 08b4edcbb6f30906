#include "autograd/op/edge_update.hpp"

namespace amend::op {

namespace {

struct EdgeUpdateNode final : TapeNode {
  kernels::EdgeUpdate forward;
  Variable edge, projection, weight_c, weight_g, modulation;
  EdgeUpdateResult result;

  EdgeUpdateNode(const kernels::EdgeUpdate& args, Variable edge_in, Variable projection_in, Variable c, Variable g,
                 Variable modulation_in, EdgeUpdateResult out)
      : forward(args),
        edge(edge_in),
        projection(projection_in),
        weight_c(c),
        weight_g(g),
        modulation(modulation_in),
        result(out) {}

  void backward(Tape& tape) override {
    if (!result.edge.grad() && !result.aggregate.grad()) return;
    const TensorView grad_edge_out = result.edge.grad();  // which is handed on below
    kernels::edge_update_backward({.forward = forward,
                                   .grad_edge_out = grad_edge_out,
                                   .grad_aggregate = result.aggregate.grad(),
                                   .grad_edge = tape.grad_in_place(edge, result.edge),
                                   .grad_projection = tape.grad_to_add(projection),
                                   .grad_weight_c = tape.grad_to_add(weight_c),
                                   .grad_weight_g = tape.grad_to_add(weight_g),
                                   .grad_modulation = tape.grad_to_add(modulation)},
                                  tape.stream());
  }
};

}  // namespace

EdgeUpdateResult edge_update(Tape& tape, const kernels::BlockTable& table, Variable edge, Variable projection,
                             Variable weight_c, Variable weight_g, Variable modulation, kernels::Precision precision) {
  const bool needs_grad = edge.needs_grad() || projection.needs_grad() || weight_c.needs_grad() ||
                          weight_g.needs_grad() || modulation.needs_grad();
  const std::int64_t d = edge.extent(1);
  EdgeUpdateResult result{tape.result(edge.shape(), edge.dtype(), needs_grad),
                          tape.result({table.node_count, 2 * d}, edge.dtype(), needs_grad)};
  const kernels::EdgeUpdate args{.table = table,
                                 .edge = edge.value(),
                                 .projection = projection.value(),
                                 .weight_c = weight_c.value(),
                                 .weight_g = weight_g.value(),
                                 .modulation = modulation.value(),
                                 .edge_out = result.edge.value(),
                                 .aggregate = result.aggregate.value(),
                                 .precision = precision};
  kernels::edge_update_forward(args, tape.stream());
  tape.record<EdgeUpdateNode>(needs_grad, args, edge, projection, weight_c, weight_g, modulation, result);
  return result;
}

}  // namespace amend::op
