#include "autograd/op/linear.hpp"

namespace amend::op {

namespace {

struct LinearNode final : TapeNode {
  kernels::Linear forward;
  Variable x, weight, bias, y;

  LinearNode(const kernels::Linear& args, Variable x_in, Variable weight_in, Variable bias_in, Variable y_out)
      : forward(args), x(x_in), weight(weight_in), bias(bias_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::linear_backward({.forward = forward,
                              .grad_y = y.grad(),
                              .grad_x = tape.grad_to_add(x),
                              .grad_weight = tape.grad_to_add(weight),
                              .grad_bias = tape.grad_to_add(bias)},
                             tape.stream());
  }
};

}  // namespace

Variable linear(Tape& tape, Variable x, Variable weight, Variable bias, const kernels::Segments& segments) {
  const bool needs_grad = x.needs_grad() || weight.needs_grad() || bias.needs_grad();
  Variable y = tape.result({x.extent(0), weight.extent(0)}, x.dtype(), needs_grad);
  const kernels::Linear args{.x = x.value(),
                             .weight = weight.value(),
                             .bias = bias ? bias.value() : TensorView{},
                             .y = y.value(),
                             .segments = segments};
  kernels::linear_forward(args, tape.stream());
  tape.record<LinearNode>(needs_grad, args, x, weight, bias, y);
  return y;
}

}  // namespace amend::op
