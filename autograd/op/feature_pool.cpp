#include "autograd/op/feature_pool.hpp"

namespace amend::op {

namespace {

struct FeaturePoolNode final : TapeNode {
  kernels::FeaturePool forward;
  Variable x, y;

  FeaturePoolNode(const kernels::FeaturePool& args, Variable x_in, Variable y_out) : forward(args), x(x_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::feature_pool_backward({.forward = forward, .grad_y = y.grad(), .grad_x = tape.grad_to_add(x)},
                                   tape.stream());
  }
};

}  // namespace

Variable feature_pool(Tape& tape, const kernels::BlockTable& table, Variable x, const TensorView& feature_offset) {
  const std::int64_t rows = table.network_count * (feature_offset.extent(0) - 1);
  Variable y = tape.result({rows, x.extent(1)}, x.dtype(), x.needs_grad());
  const kernels::FeaturePool args{.table = table, .x = x.value(), .feature_offset = feature_offset, .y = y.value()};
  kernels::feature_pool_forward(args, tape.stream());
  tape.record<FeaturePoolNode>(x.needs_grad(), args, x, y);
  return y;
}

}  // namespace amend::op
