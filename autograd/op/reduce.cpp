#include "autograd/op/reduce.hpp"

#include "kernels/fill.hpp"

namespace amend::op {

namespace {

struct WeightedSumNode final : TapeNode {
  kernels::WeightedSum forward;
  Variable x, y;
  WeightedSumNode(const kernels::WeightedSum& args, Variable x_in, Variable y_out) : forward(args), x(x_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::weighted_sum_backward({.forward = forward, .grad_y = y.grad(), .grad_x = tape.grad_to_add(x)},
                                   tape.stream());
  }
};

struct SegmentMeanNode final : TapeNode {
  kernels::SegmentMean forward;
  Variable x, y;
  SegmentMeanNode(const kernels::SegmentMean& args, Variable x_in, Variable y_out) : forward(args), x(x_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::segment_mean_backward({.forward = forward, .grad_y = y.grad(), .grad_x = tape.grad_to_add(x)},
                                   tape.stream());
  }
};

struct SegmentAddNode final : TapeNode {
  kernels::SegmentAdd forward;
  Variable x, term, y;
  SegmentAddNode(const kernels::SegmentAdd& args, Variable x_in, Variable term_in, Variable y_out)
      : forward(args), x(x_in), term(term_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    kernels::segment_add_backward(
        {.forward = forward, .grad_y = y.grad(), .grad_x = tape.grad_to_add(x), .grad_term = tape.grad_to_add(term)},
        tape.stream());
  }
};

struct AddNode final : TapeNode {
  Variable x, other, y;
  AddNode(Variable x_in, Variable other_in, Variable y_out) : x(x_in), other(other_in), y(y_out) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    for (Variable input : {x, other})
      if (input.needs_grad())
        kernels::accumulate({.x = y.grad(), .scale = 1.0, .y = tape.grad_to_add(input)}, tape.stream());
  }
};

struct AttachGradientNode final : TapeNode {
  Variable loss, x, y;
  TensorView slope;
  AttachGradientNode(Variable loss_in, Variable x_in, const TensorView& slope_in, Variable y_out)
      : loss(loss_in), x(x_in), y(y_out), slope(slope_in) {}

  void backward(Tape& tape) override {
    if (!y.grad()) return;
    if (loss.needs_grad())
      kernels::accumulate({.x = y.grad(), .scale = 1.0, .y = tape.grad_to_add(loss)}, tape.stream());
    if (!x.needs_grad()) return;
    // As if weighted_sum(x, slope) had been added to the loss.
    const auto flat = [](const TensorView& view) { return amend::reshape(view, {view.count()}); };
    kernels::weighted_sum_backward({.forward = {.x = flat(x.value()), .weight = flat(slope), .y = y.value()},
                                    .grad_y = y.grad(),
                                    .grad_x = flat(tape.grad_to_add(x))},
                                   tape.stream());
  }
};

}  // namespace

Variable weighted_sum(Tape& tape, Variable x, const TensorView& weight) {
  Variable y = tape.result({1}, x.dtype(), x.needs_grad());
  const kernels::WeightedSum args{.x = x.value(), .weight = weight, .y = y.value()};
  kernels::weighted_sum_forward(args, tape.stream());
  tape.record<WeightedSumNode>(x.needs_grad(), args, x, y);
  return y;
}

Variable segment_mean(Tape& tape, Variable x, const kernels::Segments& segments) {
  Variable y = tape.result({segments.count, x.extent(1)}, x.dtype(), x.needs_grad());
  const kernels::SegmentMean args{.x = x.value(), .segments = segments, .y = y.value()};
  kernels::segment_mean_forward(args, tape.stream());
  tape.record<SegmentMeanNode>(x.needs_grad(), args, x, y);
  return y;
}

Variable segment_add(Tape& tape, Variable x, Variable term, const kernels::Segments& segments) {
  const bool needs_grad = x.needs_grad() || term.needs_grad();
  Variable y = tape.result(x.shape(), x.dtype(), needs_grad);
  const kernels::SegmentAdd args{.x = x.value(), .term = term.value(), .segments = segments, .y = y.value()};
  kernels::segment_add_forward(args, tape.stream());
  tape.record<SegmentAddNode>(needs_grad, args, x, term, y);
  return y;
}

Variable add(Tape& tape, Variable x, Variable y) {
  check(x.shape() == y.shape(), "add", "expected shape ", x.shape(), ", got ", y.shape());
  const bool needs_grad = x.needs_grad() || y.needs_grad();
  Variable sum = tape.result(x.shape(), x.dtype(), needs_grad);
  kernels::fill({.y = sum.value(), .value = 0.0}, tape.stream());
  kernels::accumulate({.x = x.value(), .scale = 1.0, .y = sum.value()}, tape.stream());
  kernels::accumulate({.x = y.value(), .scale = 1.0, .y = sum.value()}, tape.stream());
  tape.record<AddNode>(needs_grad, x, y, sum);
  return sum;
}

Variable attach_gradient(Tape& tape, Variable loss, Variable x, const TensorView& slope) {
  check(loss.shape() == Shape{1}, "attach_gradient", "expected a loss of shape (1), got ", loss.shape());
  check(x.shape() == slope.shape, "attach_gradient", "expected a slope of shape ", x.shape(), ", got ", slope.shape);
  const bool needed = loss.needs_grad() || x.needs_grad();
  Variable y = tape.result({1}, loss.dtype(), needed);
  kernels::fill({.y = y.value(), .value = 0.0}, tape.stream());
  kernels::accumulate({.x = loss.value(), .scale = 1.0, .y = y.value()}, tape.stream());
  tape.record<AttachGradientNode>(needed, loss, x, slope, y);
  return y;
}

}  // namespace amend::op
