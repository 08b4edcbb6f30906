#include "autograd/op/edge_embed_update.hpp"

namespace amend::op {

namespace {

struct EdgeEmbedUpdateNode final : TapeNode {
  kernels::EdgeEmbedUpdate forward;
  Variable weight, bias, state, projection, weight_c, weight_g, modulation;
  EdgeUpdateResult result;

  EdgeEmbedUpdateNode(const kernels::EdgeEmbedUpdate& args, Variable in_weight, Variable in_bias, Variable in_memory,
                      Variable projection_in, Variable c, Variable g, Variable modulation_in, EdgeUpdateResult out)
      : forward(args),
        weight(in_weight),
        bias(in_bias),
        state(in_memory),
        projection(projection_in),
        weight_c(c),
        weight_g(g),
        modulation(modulation_in),
        result(out) {}

  void backward(Tape& tape) override {
    if (!result.edge.grad() && !result.aggregate.grad()) return;
    const TensorView grad_edge_out = result.edge.grad();  // which is handed on below
    const TensorView grad_state = state ? tape.grad_in_place(state, result.edge) : TensorView{};
    kernels::edge_embed_update_backward({.embed = {.forward = forward.embed,
                                                   .grad_out = grad_state,
                                                   .grad_weight = tape.grad_to_add(weight),
                                                   .grad_bias = tape.grad_to_add(bias)},
                                         .update = {.forward = forward.update,
                                                    .grad_edge_out = grad_edge_out,
                                                    .grad_aggregate = result.aggregate.grad(),
                                                    .grad_edge = grad_state,
                                                    .grad_projection = tape.grad_to_add(projection),
                                                    .grad_weight_c = tape.grad_to_add(weight_c),
                                                    .grad_weight_g = tape.grad_to_add(weight_g),
                                                    .grad_modulation = tape.grad_to_add(modulation)}},
                                        tape.stream());
  }
};

}  // namespace

EdgeUpdateResult edge_embed_update(Tape& tape, const kernels::BlockTable& table, const kernels::EdgeInput& features,
                                   Variable weight, Variable bias, Variable projection, Variable weight_c,
                                   Variable weight_g, Variable modulation, kernels::Precision precision) {
  const bool needs_grad = weight.needs_grad() || bias.needs_grad() || projection.needs_grad() ||
                          weight_c.needs_grad() || weight_g.needs_grad() || modulation.needs_grad();
  const std::int64_t d = weight.extent(0);
  const DType dtype = weight.dtype();
  EdgeUpdateResult result{tape.result({table.edge_count, d}, dtype, needs_grad),
                          tape.result({table.node_count, 2 * d}, dtype, needs_grad)};
  Variable state;
  if (kernels::stores_states(tape.arena().device(), precision))
    state = tape.result({table.edge_count, d}, dtype, needs_grad);
  const TensorView states = state ? state.value() : TensorView{};
  const kernels::EdgeEmbedUpdate args{
      .embed = {.table = table, .input = features, .weight = weight.value(), .bias = bias.value(), .out = states},
      .update = {.table = table,
                 .edge = states,
                 .projection = projection.value(),
                 .weight_c = weight_c.value(),
                 .weight_g = weight_g.value(),
                 .modulation = modulation.value(),
                 .edge_out = result.edge.value(),
                 .aggregate = result.aggregate.value(),
                 .precision = precision}};
  kernels::edge_embed_update_forward(args, tape.stream());
  tape.record<EdgeEmbedUpdateNode>(needs_grad, args, weight, bias, state, projection, weight_c, weight_g, modulation,
                                   result);
  return result;
}

}  // namespace amend::op
