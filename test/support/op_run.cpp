#include "test/support/op_run.hpp"

#include <algorithm>
#include <cstring>

#include "autograd/op/reduce.hpp"
#include "kernels/fill.hpp"
#include "test/support/tolerance.hpp"

namespace amend::test {

namespace {

Tensor copy(const TensorView& view) {
  Tensor result(view.shape, view.dtype);
  if (view.bytes()) std::memcpy(result.view().data, view.data, view.bytes());
  return result;
}

}  // namespace

OpRun run_op(const std::vector<Tensor>& inputs, DType dtype, const TapeProgram& program,
             const std::vector<Tensor>& grad_outputs) {
  Arena arena;
  Tape tape(arena, Stream{});
  OpRun run;
  std::vector<Tensor> storage;
  std::vector<Variable> leaves;
  for (const Tensor& input : inputs) {
    storage.push_back(convert(input, dtype));
    run.gradients.emplace_back(input.view().shape, dtype);
    leaves.push_back(tape.leaf(storage.back(), run.gradients.back()));
  }
  const std::vector<Variable> results = program(tape, leaves);
  Variable last;
  Tensor last_grad;
  for (std::size_t i = 0; i < results.size(); ++i) {
    run.outputs.push_back(copy(results[i].value()));
    if (i >= grad_outputs.size() || !grad_outputs[i]) continue;
    if (last) kernels::accumulate({.x = last_grad, .scale = 1.0, .y = tape.grad_to_add(last)}, Stream{});
    last = results[i];
    last_grad = convert(grad_outputs[i], dtype);
  }
  if (last) tape.backward(last, last_grad);
  return run;
}

std::string error_of_constants(const std::vector<Tensor>& inputs, const TapeProgram& program) {
  return error_of([&] {
    Arena arena;
    Tape tape(arena, Stream{});
    std::vector<Variable> constants;
    for (const Tensor& input : inputs) constants.push_back(tape.constant(input));
    program(tape, constants);
  });
}

bool same_bits(const OpRun& a, const OpRun& b) {
  const auto same = [](const Tensor& x, const Tensor& y) { return same_bits(x.view(), y.view()); };
  return std::equal(a.outputs.begin(), a.outputs.end(), b.outputs.begin(), b.outputs.end(), same) &&
         std::equal(a.gradients.begin(), a.gradients.end(), b.gradients.begin(), b.gradients.end(), same);
}

Variable project(Tape& tape, const std::vector<Variable>& results, std::uint64_t seed) {
  Variable sum;
  for (Variable result : results) {
    TensorView weight = tape.arena().tensor(result.shape(), result.dtype());
    const Tensor random = random_tensor(result.shape(), result.dtype(), seed++);
    std::memcpy(weight.data, random.view().data, weight.bytes());
    const Variable term = op::weighted_sum(tape, result, weight);
    sum = sum ? op::add(tape, sum, term) : term;
  }
  return sum;
}

bool close(std::string_view entry, const TensorView& got, const std::vector<double>& expected) {
  return largest_difference(values(got), expected) <= tolerance(entry, got.dtype, largest(expected));
}

bool gradients_close(std::string_view entry, const OpRun& float32, const OpRun& float64) {
  for (std::size_t i = 0; i < float64.gradients.size(); ++i)
    if (!close(entry, float32.gradients[i], values(float64.gradients[i]))) return false;
  return float32.gradients.size() == float64.gradients.size();
}

}  // namespace amend::test
