#include "autograd/op/group_rates.hpp"

namespace amend::op {

namespace {

struct GroupRatesNode final : TapeNode {
  kernels::GroupRates forward;
  Variable logits, rates;

  GroupRatesNode(const kernels::GroupRates& args, Variable logits_in, Variable rates_out)
      : forward(args), logits(logits_in), rates(rates_out) {}

  void backward(Tape& tape) override {
    if (!rates.grad()) return;
    kernels::group_rates_backward(
        {.forward = forward, .grad_rates = rates.grad(), .grad_logits = tape.grad_to_add(logits)}, tape.stream());
  }
};

}  // namespace

Variable group_rates(Tape& tape, Variable logits, const TensorView& cell, int cells, double temperature) {
  const bool needs_grad = logits.needs_grad();
  Variable rates = tape.result({logits.extent(0), cells}, logits.dtype(), needs_grad);
  const kernels::GroupRates args{
      .logits = logits.value(), .cell = cell, .cells = cells, .temperature = temperature, .rates = rates.value()};
  kernels::group_rates_forward(args, tape.stream());
  tape.record<GroupRatesNode>(needs_grad, args, logits, rates);
  return rates;
}

}  // namespace amend::op
