#include "autograd/op/node_update.hpp"

namespace amend::op {

namespace {

struct NodeUpdateNode final : TapeNode {
  kernels::NodeUpdate forward;
  Variable node, aggregate, condition;
  NodeUpdateParameters parameters;
  Variable alpha, result;

  NodeUpdateNode(const kernels::NodeUpdate& args, Variable node_in, Variable aggregate_in, Variable condition_in,
                 const NodeUpdateParameters& parameters_in, Variable alpha_in, Variable out)
      : forward(args),
        node(node_in),
        aggregate(aggregate_in),
        condition(condition_in),
        parameters(parameters_in),
        alpha(alpha_in),
        result(out) {}

  void backward(Tape& tape) override {
    if (!result.grad()) return;
    kernels::node_update_backward({.forward = forward,
                                   .grad_node_out = result.grad(),
                                   .grad_node = tape.grad_to_add(node),
                                   .grad_aggregate = tape.grad_to_add(aggregate),
                                   .grad_condition = tape.grad_to_add(condition),
                                   .grad_weight1 = tape.grad_to_add(parameters.weight1),
                                   .grad_bias1 = tape.grad_to_add(parameters.bias1),
                                   .grad_weight2 = tape.grad_to_add(parameters.weight2),
                                   .grad_bias2 = tape.grad_to_add(parameters.bias2),
                                   .grad_alpha = tape.grad_to_add(alpha)},
                                  tape.stream());
  }
};

}  // namespace

Variable node_update(Tape& tape, const kernels::BlockTable& table, Variable node, Variable aggregate,
                     Variable condition, const NodeUpdateParameters& parameters, Variable alpha) {
  bool needs_grad = false;
  for (Variable x :
       {node, aggregate, condition, parameters.weight1, parameters.bias1, parameters.weight2, parameters.bias2, alpha})
    needs_grad = needs_grad || x.needs_grad();
  Variable result = tape.result(node.shape(), node.dtype(), needs_grad);
  const kernels::NodeUpdate args{.table = table,
                                 .node = node.value(),
                                 .aggregate = aggregate.value(),
                                 .condition = condition.value(),
                                 .weight1 = parameters.weight1.value(),
                                 .bias1 = parameters.bias1.value(),
                                 .weight2 = parameters.weight2.value(),
                                 .bias2 = parameters.bias2.value(),
                                 .alpha = alpha.value(),
                                 .node_out = result.value()};
  kernels::node_update_forward(args, tape.stream());
  tape.record<NodeUpdateNode>(needs_grad, args, node, aggregate, condition, parameters, alpha, result);
  return result;
}

}  // namespace amend::op
