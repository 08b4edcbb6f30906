#include "autograd/op/apply_edit.hpp"

namespace amend::op {

namespace {

struct ApplyEditNode final : TapeNode {
  kernels::ApplyEdit forward;
  Variable base, gate, residual, node_gate, bias_residual;
  EditedNetwork edited;

  ApplyEditNode(const kernels::ApplyEdit& args, Variable base_in, Variable gate_in, Variable residual_in,
                Variable node_gate_in, Variable bias_residual_in, const EditedNetwork& out)
      : forward(args),
        base(base_in),
        gate(gate_in),
        residual(residual_in),
        node_gate(node_gate_in),
        bias_residual(bias_residual_in),
        edited(out) {}

  void backward(Tape& tape) override {
    if (!edited.weight.grad() && !edited.bias.grad()) return;
    kernels::apply_edit_backward({.forward = forward,
                                  .grad_edited_weight = edited.weight.grad(),
                                  .grad_edited_bias = edited.bias.grad(),
                                  .grad_base = tape.grad_to_add(base),
                                  .grad_gate = tape.grad_to_add(gate),
                                  .grad_residual = tape.grad_to_add(residual),
                                  .grad_node_gate = tape.grad_to_add(node_gate),
                                  .grad_bias_residual = tape.grad_to_add(bias_residual)},
                                 tape.stream());
  }
};

struct NodeGateNode final : TapeNode {
  kernels::NodeGate forward;
  Variable feature_gate, neuron_gate, out;

  NodeGateNode(const kernels::NodeGate& args, Variable feature, Variable neuron, Variable result)
      : forward(args), feature_gate(feature), neuron_gate(neuron), out(result) {}

  void backward(Tape& tape) override {
    if (!out.grad()) return;
    kernels::node_gate_backward({.forward = forward,
                                 .grad_node_gate = out.grad(),
                                 .grad_feature_gate = tape.grad_to_add(feature_gate),
                                 .grad_neuron_gate = tape.grad_to_add(neuron_gate)},
                                tape.stream());
  }
};

struct HiddenRowsNode final : TapeNode {
  kernels::BlockTable table;
  Variable x, y;

  HiddenRowsNode(const kernels::BlockTable& table_in, Variable x_in, Variable y_out)
      : table(table_in), x(x_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::hidden_rows_backward({.table = table, .grad_y = y.grad(), .grad_x = tape.grad_to_add(x)}, tape.stream());
  }
};

}  // namespace

EditedNetwork apply_edit(Tape& tape, const kernels::BlockTable& table, const OriginalNetwork& original, Variable gate,
                         Variable residual, Variable node_gate, Variable bias_residual, Variable base) {
  const bool needs_grad = base.needs_grad() || gate.needs_grad() || residual.needs_grad() || node_gate.needs_grad() ||
                          bias_residual.needs_grad();
  const DType dtype = original.weight.dtype;
  const EditedNetwork edited{tape.result({table.edge_count}, dtype, needs_grad),
                             tape.result({table.node_count}, dtype, needs_grad)};
  const kernels::ApplyEdit args{.table = table,
                                .weight = original.weight,
                                .base = base ? base.value() : TensorView{},
                                .bias = original.bias,
                                .mean = original.mean,
                                .scale = original.scale,
                                .gate = gate.value(),
                                .residual = residual.value(),
                                .node_gate = node_gate.value(),
                                .bias_residual = bias_residual.value(),
                                .edited_weight = edited.weight.value(),
                                .edited_bias = edited.bias.value()};
  kernels::apply_edit_forward(args, tape.stream());
  tape.record<ApplyEditNode>(needs_grad, args, base, gate, residual, node_gate, bias_residual, edited);
  return edited;
}

Variable node_gate(Tape& tape, const kernels::BlockTable& table, DType dtype, Variable feature_gate,
                   const TensorView& input_feature, Variable neuron_gate) {
  const bool needs_grad = feature_gate.needs_grad() || neuron_gate.needs_grad();
  Variable out = tape.result({table.node_count}, dtype, needs_grad);
  const kernels::NodeGate args{.table = table,
                               .feature_gate = feature_gate ? feature_gate.value() : TensorView{},
                               .input_feature = input_feature,
                               .neuron_gate = neuron_gate ? neuron_gate.value() : TensorView{},
                               .node_gate = out.value()};
  kernels::node_gate_forward(args, tape.stream());
  tape.record<NodeGateNode>(needs_grad, args, feature_gate, neuron_gate, out);
  return out;
}

Variable hidden_rows(Tape& tape, const kernels::BlockTable& table, Variable x) {
  Variable y = tape.result({table.hidden_count}, x.dtype(), x.needs_grad());
  kernels::hidden_rows_forward({.table = table, .x = x.value(), .y = y.value()}, tape.stream());
  tape.record<HiddenRowsNode>(x.needs_grad(), table, x, y);
  return y;
}

}  // namespace amend::op
