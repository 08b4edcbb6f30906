#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "engine/arena.hpp"
#include "engine/stream.hpp"
#include "engine/tensor.hpp"

namespace amend {

class Tape;

/// A tensor the tape knows: its value and, once something has flowed back to it, its gradient. A handle; the memory
/// belongs to the tape's arena (or to a ParameterSet) and is gone after the next `Tape::reset`.
class Variable {
 public:
  Variable() = default;
  explicit operator bool() const { return state_ != nullptr; }

  const TensorView& value() const { return state_->value; }
  const Shape& shape() const { return state_->value.shape; }
  std::int64_t extent(int axis) const { return state_->value.extent(axis); }
  DType dtype() const { return state_->value.dtype; }
  bool needs_grad() const { return state_ != nullptr && state_->needs_grad; }
  /// The gradient; an absent view when nothing has reached this variable.
  const TensorView& grad() const { return state_->grad; }

 private:
  friend class Tape;
  struct State {
    TensorView value;
    TensorView grad;
    bool needs_grad;
  };
  explicit Variable(State* state) : state_(state) {}
  State* state_ = nullptr;
};

/// One recorded operation. Lives in the arena: members must be trivially destructible.
class TapeNode {
 public:
  /// Adds to the gradients of the inputs what the gradients of the outputs imply.
  virtual void backward(Tape& tape) = 0;

 protected:
  ~TapeNode() = default;
};

/// Reverse-mode automatic differentiation: operations append themselves as they run, `backward` walks them in reverse.
/// Everything is allocated from the arena, so that a repeated step allocates nothing from the system.
class Tape {
 public:
  Tape(Arena& arena, Stream stream) : arena_(&arena), stream_(stream) {}

  Arena& arena() { return *arena_; }
  Stream stream() const { return stream_; }

  /// A tensor no gradient flows to.
  Variable constant(const TensorView& value);
  /// A leaf whose gradient is added to `grad`, memory that the caller owns and has cleared.
  Variable leaf(const TensorView& value, const TensorView& grad);
  /// An uninitialised result of an operation.
  Variable result(Shape shape, DType dtype, bool needs_grad);
  /// The same memory under another shape; gradients flow through.
  Variable reshape(Variable x, Shape shape);
  /// The value without its history.
  Variable detach(Variable x) { return constant(x.value()); }

  /// The gradient of `x` to add to: zeros at first. An absent view when `x` needs none.
  TensorView grad_to_add(Variable x);
  /// A gradient for a kernel that can also write it. `fresh`: nothing has reached `x` yet, the memory is uninitialised
  /// and must be written.
  struct GradTarget {
    TensorView grad;
    bool fresh = false;
  };
  GradTarget grad_to_write(Variable x);
  /// The gradient of `x` for a kernel that can make it of y's in place: y's own memory, which y has no more then, where
  /// nothing has reached `x` yet; else as `grad_to_add`.
  TensorView grad_in_place(Variable x, Variable y);

  /// Records an operation when `needed` and recording is on. `Node` derives from TapeNode.
  template <class Node, class... Args>
  void record(bool needed, Args&&... args) {
    if (needed && recording_) nodes_.push_back(arena_->make<Node>(std::forward<Args>(args)...));
  }

  /// While off, results need no gradients: for inference.
  void set_recording(bool on) { recording_ = on; }
  bool recording() const { return recording_; }

  /// Gradient of the one-element variable `loss` to every leaf.
  void backward(Variable loss);
  /// The same with a given gradient of `output`, of its shape.
  void backward(Variable output, const TensorView& grad_output);

  /// Forgets everything and resets the arena.
  void reset();
  /// Forgets what was recorded, as a pass that was given up leaves it; the arena stays as it is.
  void forget() { nodes_.clear(); }

 private:
  void run();

  Arena* arena_;
  Stream stream_;
  std::vector<TapeNode*> nodes_;
  bool recording_ = true;
};

}  // namespace amend
