#include "autograd/op/subject_forward.hpp"

namespace amend::op {

namespace {

struct SubjectForwardNode final : TapeNode {
  kernels::SubjectForward forward;
  Variable weight, bias, logits;

  SubjectForwardNode(const kernels::SubjectForward& args, Variable weight_in, Variable bias_in, Variable logits_out)
      : forward(args), weight(weight_in), bias(bias_in), logits(logits_out) {}

  void backward(Tape& tape) override {
    if (!logits.grad()) return;
    kernels::subject_backward({.forward = forward,
                               .grad_logits = logits.grad(),
                               .grad_weight = tape.grad_to_add(weight),
                               .grad_bias = tape.grad_to_add(bias)},
                              tape.stream());
  }
};

}  // namespace

SubjectPass subject_forward(Tape& tape, const kernels::BlockTable& table, Variable weight, Variable bias,
                            const TensorView& x, const TensorView& row_index, bool keep_activation,
                            std::uint64_t x_id) {
  const bool needs_grad = weight.needs_grad() || bias.needs_grad();
  const std::int64_t rows = row_index ? row_index.extent(1) : x.extent(0);
  const std::int64_t classes = table.outputs;
  SubjectPass pass;
  pass.logits = tape.result({table.network_count, rows, classes}, weight.dtype(), needs_grad);
  if (keep_activation || (needs_grad && tape.recording())) {
    pass.activation = tape.arena().tensor({table.hidden_count, rows}, weight.dtype());
    pass.slope = tape.arena().tensor({table.hidden_count, rows}, weight.dtype());
  }
  const kernels::SubjectForward args{.table = table,
                                     .weight = weight.value(),
                                     .bias = bias.value(),
                                     .x = x,
                                     .x_id = x_id,
                                     .row_index = row_index,
                                     .activation = pass.activation,
                                     .slope = pass.slope,
                                     .logits = pass.logits.value()};
  kernels::subject_forward(args, tape.stream());
  tape.record<SubjectForwardNode>(needs_grad, args, weight, bias, pass.logits);
  return pass;
}

}  // namespace amend::op
