#include "autograd/op/gate.hpp"

namespace amend::op {

namespace {

struct GateNode final : TapeNode {
  kernels::Gate forward;
  Variable logit;
  GateResult result;

  GateNode(const kernels::Gate& args, Variable logit_in, const GateResult& out)
      : forward(args), logit(logit_in), result(out) {}

  void backward(Tape& tape) override {
    if (!result.gate.grad() && !result.penalty.grad() && !result.barrier.grad()) return;
    kernels::gate_backward({.forward = forward,
                            .grad_gate = result.gate.grad(),
                            .grad_penalty = result.penalty.grad(),
                            .grad_barrier = result.barrier.grad(),
                            .grad_logit = tape.grad_to_add(logit)},
                           tape.stream());
  }
};

}  // namespace

GateResult gate(Tape& tape, Variable logit, const kernels::Segments& segments, const GateOptions& options) {
  const bool needs_grad = logit.needs_grad();
  const GateResult result{tape.result(logit.shape(), logit.dtype(), needs_grad),
                          tape.result({segments.count}, logit.dtype(), needs_grad),
                          tape.result({segments.count}, logit.dtype(), needs_grad)};
  const kernels::Gate args{.kind = options.kind,
                           .training = options.training,
                           .temperature = options.temperature,
                           .bound = options.bound,
                           .logit = logit.value(),
                           .noise = options.noise,
                           .segments = segments,
                           .gate = result.gate.value(),
                           .penalty = result.penalty.value(),
                           .barrier = result.barrier.value()};
  kernels::gate_forward(args, tape.stream());
  tape.record<GateNode>(needs_grad, args, logit, result);
  return result;
}

}  // namespace amend::op
