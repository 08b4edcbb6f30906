#include "autograd/op/edit_head.hpp"

namespace amend::op {

namespace {

struct EditHeadNode final : TapeNode {
  kernels::EditHead forward;
  EditHeadInputs in;
  Variable out;

  EditHeadNode(const kernels::EditHead& args, const EditHeadInputs& inputs, Variable result)
      : forward(args), in(inputs), out(result) {}

  void backward(Tape& tape) override {
    if (!out.grad()) return;
    const Tape::GradTarget grad_edge = tape.grad_to_write(in.edge.rows);
    kernels::edit_head_backward({.forward = forward,
                                 .grad_out = out.grad(),
                                 .grad_edge = grad_edge.grad,
                                 .fresh_edge = grad_edge.fresh,
                                 .grad_weight = tape.grad_to_add(in.weight),
                                 .grad_edge2 = tape.grad_to_add(in.edge2.rows),
                                 .grad_weight2 = tape.grad_to_add(in.weight2),
                                 .grad_projection = tape.grad_to_add(in.projection),
                                 .grad_kind_bias = tape.grad_to_add(in.kind_bias),
                                 .grad_mix = tape.grad_to_add(in.mix),
                                 .grad_head = tape.grad_to_add(in.head),
                                 .grad_head_bias = tape.grad_to_add(in.head_bias)},
                                tape.stream());
  }
};

}  // namespace

Variable edit_head(Tape& tape, const kernels::BlockTable& table, const EditHeadInputs& in) {
  const auto view = [](Variable x) { return x ? x.value() : TensorView{}; };
  bool needs_grad = false;
  for (Variable x :
       {in.edge.rows, in.weight, in.edge2.rows, in.weight2, in.projection, in.kind_bias, in.mix, in.head, in.head_bias})
    needs_grad = needs_grad || x.needs_grad();
  Variable out = tape.result({table.edge_count, in.head.extent(1)}, in.weight.dtype(), needs_grad);
  const kernels::EditHead args{.table = table,
                               .edge = in.edge.value(),
                               .weight = in.weight.value(),
                               .edge2 = in.edge2.value(),
                               .weight2 = view(in.weight2),
                               .projection = in.projection.value(),
                               .kind_bias = in.kind_bias.value(),
                               .mix = view(in.mix),
                               .head = in.head.value(),
                               .head_bias = in.head_bias.value(),
                               .out = out.value()};
  kernels::edit_head_forward(args, tape.stream());
  tape.record<EditHeadNode>(needs_grad, args, in, out);
  return out;
}

}  // namespace amend::op
