#include "autograd/op/embedding.hpp"

namespace amend::op {

namespace {

struct EmbeddingAddNode final : TapeNode {
  kernels::EmbeddingAdd forward;
  Variable x, table, y;
  EmbeddingAddNode(const kernels::EmbeddingAdd& args, Variable x_in, Variable table_in, Variable y_out)
      : forward(args), x(x_in), table(table_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::embedding_add_backward(
        {.forward = forward, .grad_y = y.grad(), .grad_x = tape.grad_to_add(x), .grad_table = tape.grad_to_add(table)},
        tape.stream());
  }
};

}  // namespace

Variable embedding_add(Tape& tape, Variable x, Variable table, const TensorView& index) {
  const bool needs_grad = x.needs_grad() || table.needs_grad();
  Variable y = tape.result(x.shape(), x.dtype(), needs_grad);
  const kernels::EmbeddingAdd args{.x = x.value(), .table = table.value(), .index = index, .y = y.value()};
  kernels::embedding_add_forward(args, tape.stream());
  tape.record<EmbeddingAddNode>(needs_grad, args, x, table, y);
  return y;
}

}  // namespace amend::op
