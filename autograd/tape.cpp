#include "autograd/tape.hpp"

#include "kernels/fill.hpp"

namespace amend {

namespace {

struct ReshapeNode final : TapeNode {
  Variable x, y;
  ReshapeNode(Variable x_in, Variable y_out) : x(x_in), y(y_out) {}
  void backward(Tape& tape) override {
    if (!y.grad()) return;
    const TensorView target = tape.grad_to_add(x);
    kernels::accumulate({.x = amend::reshape(y.grad(), target.shape), .scale = 1.0, .y = target}, tape.stream());
  }
};

}  // namespace

Variable Tape::constant(const TensorView& value) {
  return Variable(arena_->make<Variable::State>(Variable::State{value, {}, false}));
}

Variable Tape::leaf(const TensorView& value, const TensorView& grad) {
  check(value.shape == grad.shape && value.dtype == grad.dtype, "tape", "a leaf of shape ", value.shape,
        " was given a gradient of shape ", grad.shape);
  return Variable(arena_->make<Variable::State>(Variable::State{value, grad, recording_}));
}

Variable Tape::result(Shape shape, DType dtype, bool needs_grad) {
  return Variable(
      arena_->make<Variable::State>(Variable::State{arena_->tensor(shape, dtype), {}, needs_grad && recording_}));
}

Variable Tape::reshape(Variable x, Shape shape) {
  Variable y(arena_->make<Variable::State>(Variable::State{amend::reshape(x.value(), shape), {}, x.needs_grad()}));
  record<ReshapeNode>(x.needs_grad(), x, y);
  return y;
}

Tape::GradTarget Tape::grad_to_write(Variable x) {
  if (!x.needs_grad()) return {};
  const bool fresh = !x.state_->grad;
  if (fresh) x.state_->grad = arena_->tensor(x.shape(), x.dtype());
  return {x.state_->grad, fresh};
}

TensorView Tape::grad_to_add(Variable x) {
  const GradTarget target = grad_to_write(x);
  if (target.fresh) kernels::fill({.y = target.grad, .value = 0.0}, stream_);
  return target.grad;
}

TensorView Tape::grad_in_place(Variable x, Variable y) {
  if (!x.needs_grad() || x.grad() || !y.grad()) return grad_to_add(x);
  check(x.shape() == y.shape() && x.dtype() == y.dtype(), "tape", "a gradient of shape ", y.shape(),
        " cannot become one of shape ", x.shape());
  x.state_->grad = y.grad();
  y.state_->grad = {};
  return x.state_->grad;
}

void Tape::backward(Variable loss) {
  check(loss.value().count() == 1, "tape", "expected a loss of one element, got ", loss.shape());
  kernels::fill({.y = grad_to_add(loss), .value = 1.0}, stream_);
  run();
}

void Tape::backward(Variable output, const TensorView& grad_output) {
  kernels::accumulate({.x = grad_output, .scale = 1.0, .y = grad_to_add(output)}, stream_);
  run();
}

void Tape::run() {
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) (*node)->backward(*this);
  nodes_.clear();
}

void Tape::reset() {
  nodes_.clear();
  arena_->reset();
}

}  // namespace amend
