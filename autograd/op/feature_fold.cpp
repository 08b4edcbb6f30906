#include "autograd/op/feature_fold.hpp"

namespace amend::op {

namespace {

struct FeatureFoldNode final : TapeNode {
  kernels::FeatureFold forward;
  Variable feature_gate, base;

  FeatureFoldNode(const kernels::FeatureFold& args, Variable gate, Variable result)
      : forward(args), feature_gate(gate), base(result) {}

  void backward(Tape& tape) override {
    if (!base.grad()) return;
    kernels::feature_fold_backward(
        {.forward = forward, .grad_base = base.grad(), .grad_feature_gate = tape.grad_to_add(feature_gate)},
        tape.stream());
  }
};

}  // namespace

FoldedFeatures feature_fold(Tape& tape, const kernels::BlockTable& table, const TensorView& weight,
                            Variable feature_gate, const TensorView& feature_offset, const TensorView& covariance) {
  const std::int64_t inputs = covariance.extent(0);
  Variable base = tape.result(weight.shape, weight.dtype, feature_gate.needs_grad());
  const kernels::FeatureFold args{.table = table,
                                  .weight = weight,
                                  .feature_gate = feature_gate.value(),
                                  .feature_offset = feature_offset,
                                  .covariance = covariance,
                                  .beta = tape.arena().tensor({table.network_count, inputs, inputs}, weight.dtype),
                                  .base = base.value()};
  kernels::feature_fold_forward(args, tape.stream());
  tape.record<FeatureFoldNode>(feature_gate.needs_grad(), args, feature_gate, base);
  return {base, args.beta};
}

}  // namespace amend::op
