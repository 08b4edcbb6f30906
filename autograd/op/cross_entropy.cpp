#include "autograd/op/cross_entropy.hpp"

namespace amend::op {

namespace {

struct CrossEntropyNode final : TapeNode {
  kernels::CrossEntropy forward;
  Variable logits, loss;

  CrossEntropyNode(const kernels::CrossEntropy& args, Variable logits_in, Variable loss_out)
      : forward(args), logits(logits_in), loss(loss_out) {}

  void backward(Tape& tape) override {
    if (!loss.grad()) return;
    kernels::cross_entropy_backward(
        {.forward = forward, .grad_loss = loss.grad(), .grad_logits = tape.grad_to_add(logits)}, tape.stream());
  }
};

}  // namespace

Variable cross_entropy(Tape& tape, Variable logits, const TensorView& label, const TensorView& class_weight) {
  const bool needs_grad = logits.needs_grad();
  Variable loss = tape.result({logits.extent(0)}, logits.dtype(), needs_grad);
  const kernels::CrossEntropy args{
      .logits = logits.value(), .label = label, .class_weight = class_weight, .loss = loss.value()};
  kernels::cross_entropy_forward(args, tape.stream());
  tape.record<CrossEntropyNode>(needs_grad, args, logits, loss);
  return loss;
}

}  // namespace amend::op
