#include "autograd/op/pointwise.hpp"

namespace amend::op {

namespace {

struct PointwiseNode final : TapeNode {
  kernels::Pointwise forward;
  Variable x, y;
  PointwiseNode(const kernels::Pointwise& args, Variable x_in, Variable y_out) : forward(args), x(x_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::pointwise_backward({.forward = forward, .grad_y = y.grad(), .grad_x = tape.grad_to_add(x)}, tape.stream());
  }
};

}  // namespace

Variable pointwise(Tape& tape, kernels::PointwiseOp op, Variable x) {
  Variable y = tape.result(x.shape(), x.dtype(), x.needs_grad());
  const kernels::Pointwise args{.op = op, .x = x.value(), .y = y.value()};
  kernels::pointwise_forward(args, tape.stream());
  tape.record<PointwiseNode>(x.needs_grad(), args, x, y);
  return y;
}

}  // namespace amend::op
