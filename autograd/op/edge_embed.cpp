#include "autograd/op/edge_embed.hpp"

namespace amend::op {

namespace {

struct EdgeEmbedNode final : TapeNode {
  kernels::EdgeEmbed forward;
  Variable weight, bias, out;

  EdgeEmbedNode(const kernels::EdgeEmbed& args, Variable in_weight, Variable in_bias, Variable result)
      : forward(args), weight(in_weight), bias(in_bias), out(result) {}

  void backward(Tape& tape) override {
    if (!out.grad()) return;
    kernels::edge_embed_backward({.forward = forward,
                                  .grad_out = out.grad(),
                                  .grad_weight = tape.grad_to_add(weight),
                                  .grad_bias = tape.grad_to_add(bias)},
                                 tape.stream());
  }
};

}  // namespace

Variable edge_embed(Tape& tape, const kernels::BlockTable& table, const kernels::EdgeInput& features, Variable weight,
                    Variable bias) {
  const bool needs_grad = weight.needs_grad() || bias.needs_grad();
  Variable out = tape.result({table.edge_count, weight.value().extent(0)}, weight.dtype(), needs_grad);
  const kernels::EdgeEmbed args{
      .table = table, .input = features, .weight = weight.value(), .bias = bias.value(), .out = out.value()};
  kernels::edge_embed_forward(args, tape.stream());
  tape.record<EdgeEmbedNode>(needs_grad, args, weight, bias, out);
  return out;
}

}  // namespace amend::op
