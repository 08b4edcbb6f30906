#include "autograd/tape.hpp"

#include <catch2/catch.hpp>

#include "autograd/op/edge_update.hpp"
#include "autograd/op/linear.hpp"
#include "autograd/op/pointwise.hpp"
#include "autograd/op/reduce.hpp"
#include "engine/memory.hpp"
#include "test/support/heap.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

TEST_CASE("a gradient is what all uses of a variable say together") {
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor x = test::make_tensor({2}, DType::float64, {3.0, 5.0}), grad({2}, DType::float64);
  const Tensor weight = test::make_tensor({2}, DType::float64, {10.0, 100.0});
  const Variable leaf = tape.leaf(x, grad);
  const Variable twice = op::add(tape, leaf, leaf);
  tape.backward(op::weighted_sum(tape, op::add(tape, twice, leaf), weight));
  CHECK(test::values(grad) == std::vector<double>{30.0, 300.0});
  // A leaf's gradient is the caller's: a second pass adds to it.
  tape.reset();
  tape.backward(op::weighted_sum(tape, tape.leaf(x, grad), weight));
  CHECK(test::values(grad) == std::vector<double>{40.0, 400.0});
}

TEST_CASE("nothing flows through constants, detached values or a tape that does not record") {
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor x = test::make_tensor({2}, DType::float64, {3.0, 5.0}), grad({2}, DType::float64);
  const Variable leaf = tape.leaf(x, grad), constant = tape.constant(x);
  CHECK(leaf.needs_grad());
  CHECK_FALSE(constant.needs_grad());
  CHECK_FALSE(op::add(tape, constant, tape.detach(leaf)).needs_grad());
  tape.backward(op::weighted_sum(tape, op::add(tape, tape.detach(leaf), leaf), x));
  CHECK(test::values(grad) == std::vector<double>{3.0, 5.0});
  CHECK_FALSE(tape.grad_to_add(constant));

  tape.set_recording(false);
  CHECK_FALSE(tape.leaf(x, grad).needs_grad());
  CHECK_FALSE(op::add(tape, leaf, leaf).needs_grad());
  CHECK_FALSE(Variable().needs_grad());
}

TEST_CASE("attach_gradient leaves the loss alone and adds its slope") {
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor x = test::make_tensor({2}, DType::float64, {3.0, 5.0}), grad({2}, DType::float64);
  const Tensor weight = test::make_tensor({2}, DType::float64, {10.0, 100.0}),
               slope = test::make_tensor({2}, DType::float64, {-1.0, 0.5});
  const Variable leaf = tape.leaf(x, grad);
  const Variable loss = op::weighted_sum(tape, leaf, weight);
  const Variable attached = op::attach_gradient(tape, loss, leaf, slope);
  CHECK(test::values(attached.value()) == std::vector<double>{530.0});
  tape.backward(op::add(tape, attached, attached));
  CHECK(test::values(grad) == std::vector<double>{2.0 * (10.0 - 1.0), 2.0 * (100.0 + 0.5)});
  CHECK_THROWS_WITH(op::attach_gradient(tape, loss, leaf, test::random_tensor({3}, DType::float64, 1)),
                    Catch::Contains("expected a slope of shape (2), got (3)"));
}

TEST_CASE("reshape keeps the memory and passes gradients") {
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor x = test::random_tensor({2, 3}, DType::float64, 1), grad({2, 3}, DType::float64);
  const Tensor weight = test::random_tensor({6}, DType::float64, 2);
  const Variable flat = tape.reshape(tape.leaf(x, grad), {6});
  CHECK(flat.value().data == x.view().data);
  tape.backward(op::weighted_sum(tape, flat, weight));
  CHECK(test::values(grad) == test::values(weight));
  CHECK_THROWS_AS(tape.reshape(flat, {5}), Error);
}

TEST_CASE("a gradient that nothing has reached is written, and one in place takes the memory of another") {
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor x = test::make_tensor({2}, DType::float64, {3.0, 5.0}), grad({2}, DType::float64);
  const Variable leaf = tape.leaf(x, grad), a = op::add(tape, leaf, leaf), b = op::add(tape, a, leaf);
  CHECK_FALSE(tape.grad_to_write(leaf).fresh);  // the caller's
  CHECK(tape.grad_to_write(b).fresh);
  CHECK_FALSE(tape.grad_to_write(b).fresh);
  CHECK_FALSE(tape.grad_to_write(tape.constant(x)).grad);

  const void* memory = b.grad().data;
  CHECK(tape.grad_in_place(leaf, b).data == grad.view().data);
  CHECK_FALSE(tape.grad_in_place(tape.constant(x), b));
  CHECK(b.grad().data == memory);
  CHECK(tape.grad_in_place(a, b).data == memory);
  CHECK(a.grad().data == memory);
  CHECK_FALSE(b.grad());
  // With nothing to take over, or something there already, zeros or that.
  const Variable c = op::add(tape, b, leaf);
  CHECK(test::values(tape.grad_in_place(b, c)) == std::vector<double>{0.0, 0.0});
  CHECK(tape.grad_in_place(a, b).data == memory);
  CHECK(b.grad());
}

TEST_CASE("the tape names what it cannot take") {
  Arena arena;
  Tape tape(arena, Stream{});
  const Tensor two({2}, DType::float64), three({3}, DType::float64);
  CHECK_THROWS_WITH(tape.leaf(two, three), "[tape] a leaf of shape (2) was given a gradient of shape (3)");
  CHECK_THROWS_WITH(tape.backward(tape.leaf(two, two)), "[tape] expected a loss of one element, got (2)");
  CHECK_THROWS_WITH(tape.backward(tape.leaf(two, two), three),
                    Catch::Contains("[accumulate] expected `x` of shape (2)"));
  const Tensor grad({2}, DType::float64);
  const Variable y = op::add(tape, tape.leaf(two, grad), tape.constant(two)),
                 x = op::add(tape, tape.leaf(three, three), tape.constant(three));
  (void)tape.grad_to_add(y);
  CHECK_THROWS_WITH(tape.grad_in_place(x, y), "[tape] a gradient of shape (2) cannot become one of shape (3)");
}

/// A forward and a backward pass of a small chain of operations.
class Step {
 public:
  Step()
      : batch_(test::random_batch(test::kRagged, Activation::relu, DType::float32, 3)),
        tape_(arena_, Stream{}),
        ones_(test::random_tensor({table().node_count, 2 * kWidth}, DType::float32, 1, 0.0, 1.0)) {
    std::uint64_t seed = 1;
    for (const Shape& shape :
         {Shape{table().edge_count, kWidth}, Shape{table().node_count, kWidth}, Shape{4 * kWidth, kWidth},
          Shape{4 * kWidth}, Shape{kWidth, kWidth}, Shape{kWidth, kWidth}, Shape{table().network_count, 3 * kWidth}}) {
      value_.push_back(test::random_tensor(shape, DType::float32, seed++, 0.5));
      grad_.emplace_back(shape, DType::float32);
    }
  }

  void operator()() {
    Variable in[7];
    for (std::size_t i = 0; i < 7; ++i) in[i] = tape_.leaf(value_[i], grad_[i]);
    const Variable projection = op::linear(tape_, in[1], in[2], in[3], table().network_nodes);
    const op::EdgeUpdateResult layer = op::edge_update(tape_, table(), in[0], projection, in[4], in[5], in[6]);
    const Variable active = op::pointwise(tape_, kernels::PointwiseOp::silu, layer.aggregate);
    tape_.backward(op::weighted_sum(tape_, active, ones_));
    tape_.reset();
  }

 private:
  static constexpr std::int64_t kWidth = 16;
  const kernels::BlockTable& table() const { return batch_.table(); }

  test::RandomBatch batch_;
  Arena arena_;
  Tape tape_;
  Tensor ones_;
  std::vector<Tensor> value_, grad_;
};

TEST_CASE("a repeated step allocates nothing") {
  const int threads = GENERATE(1, 2);
  const test::ThreadCount several(threads);
  Step step;
  // Which thread meets which piece of work is chance: a thread's scratch memory is there once it met them all.
  int calm = 0;
  for (int repetition = 0; repetition < 2000 && calm < 25; ++repetition) {
    const std::size_t buffers = allocation_count(), heap = test::heap_allocation_count();
    step();
    const bool still = allocation_count() == buffers && test::heap_allocation_count() == heap;
    calm = still ? calm + 1 : 0;
  }
  CHECK(calm == 25);
}

TEST_CASE("the allocation counter counts") {
  const std::size_t before = test::heap_allocation_count();
  const std::vector<int> numbers(1000, 1);
  CHECK(test::heap_allocation_count() > before);
  CHECK(numbers.back() == 1);
}

}  // namespace
}  // namespace amend
