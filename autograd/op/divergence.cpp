#include "autograd/op/divergence.hpp"

namespace amend::op {

namespace {

struct DivergenceNode final : TapeNode {
  kernels::Divergence forward;
  Variable logits_q, divergence;

  DivergenceNode(const kernels::Divergence& args, Variable logits_q_in, Variable divergence_out)
      : forward(args), logits_q(logits_q_in), divergence(divergence_out) {}

  void backward(Tape& tape) override {
    if (!divergence.grad()) return;
    kernels::divergence_backward(
        {.forward = forward, .grad_divergence = divergence.grad(), .grad_logits_q = tape.grad_to_add(logits_q)},
        tape.stream());
  }
};

}  // namespace

Variable divergence(Tape& tape, const TensorView& logits_p, Variable logits_q, std::int64_t row_count) {
  const bool needs_grad = logits_q.needs_grad();
  Variable divergence = tape.result({logits_q.extent(0)}, logits_q.dtype(), needs_grad);
  const kernels::Divergence args{
      .logits_p = logits_p, .logits_q = logits_q.value(), .row_count = row_count, .divergence = divergence.value()};
  kernels::divergence_forward(args, tape.stream());
  tape.record<DivergenceNode>(needs_grad, args, logits_q, divergence);
  return divergence;
}

}  // namespace amend::op
