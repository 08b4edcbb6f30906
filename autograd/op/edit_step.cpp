#include "autograd/op/edit_step.hpp"

namespace amend::op {

namespace {

struct EditStepNode final : TapeNode {
  kernels::EditStep forward;
  Variable out, prior_gain;
  EditState before, after;

  EditStepNode(const kernels::EditStep& args, Variable out_in, Variable gain, const EditState& in,
               const EditState& result)
      : forward(args), out(out_in), prior_gain(gain), before(in), after(result) {}

  void backward(Tape& tape) override {
    if (!after.logit.grad() && !after.residual.grad()) return;
    kernels::edit_step_backward({.forward = forward,
                                 .grad_logit = after.logit.grad(),
                                 .grad_residual = after.residual.grad(),
                                 .grad_out = tape.grad_to_add(out),
                                 .grad_logit_in = tape.grad_to_add(before.logit),
                                 .grad_residual_in = tape.grad_to_add(before.residual),
                                 .grad_prior_gain = tape.grad_to_add(prior_gain)},
                                tape.stream());
  }
};

}  // namespace

EditState edit_step(Tape& tape, Variable out, const EditState& state, const EditStepOptions& options) {
  const auto view = [](Variable x) { return x ? x.value() : TensorView{}; };
  const bool needs_grad =
      out.needs_grad() || state.logit.needs_grad() || state.residual.needs_grad() || options.prior_gain.needs_grad();
  check(!options.in_place || !tape.recording(), "edit_step", "a step in place has no backward pass");
  const std::int64_t n = out.extent(0);
  const auto result = [&](Variable before) {
    return before && options.in_place ? tape.detach(before) : tape.result({n}, out.dtype(), needs_grad);
  };
  const EditState after{result(state.logit), result(state.residual)};
  const kernels::EditStep args{.out = out.value(),
                               .logit_in = view(state.logit),
                               .residual_in = view(state.residual),
                               .prior = options.prior,
                               .prior_gain = options.prior ? options.prior_gain.value() : TensorView{},
                               .step = options.step,
                               .logit_scale = options.logit_scale,
                               .residual_scale = options.residual_scale,
                               .logit = after.logit.value(),
                               .residual = after.residual.value()};
  kernels::edit_step_forward(args, tape.stream());
  tape.record<EditStepNode>(needs_grad, args, out, options.prior ? options.prior_gain : Variable(), state, after);
  return after;
}

}  // namespace amend::op
