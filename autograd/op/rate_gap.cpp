#include "autograd/op/rate_gap.hpp"

namespace amend::op {

namespace {

struct RateGapNode final : TapeNode {
  kernels::RateGap forward;
  Variable rates, gap;

  RateGapNode(const kernels::RateGap& args, Variable rates_in, Variable gap_out)
      : forward(args), rates(rates_in), gap(gap_out) {}

  void backward(Tape& tape) override {
    if (!gap.grad()) return;
    kernels::rate_gap_backward({.forward = forward, .grad_gap = gap.grad(), .grad_rates = tape.grad_to_add(rates)},
                               tape.stream());
  }
};

}  // namespace

Variable rate_gap(Tape& tape, Variable rates, int conditions, int groups, double epsilon) {
  const bool needs_grad = rates.needs_grad();
  Variable gap = tape.result({rates.extent(0)}, rates.dtype(), needs_grad);
  const kernels::RateGap args{
      .rates = rates.value(), .conditions = conditions, .groups = groups, .epsilon = epsilon, .gap = gap.value()};
  kernels::rate_gap_forward(args, tape.stream());
  tape.record<RateGapNode>(needs_grad, args, rates, gap);
  return gap;
}

}  // namespace amend::op
