#include "autograd/op/cross_entropy.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/subject_oracle.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

Tensor loss_of(const TensorView& logits, const TensorView& label, const TensorView& class_weight) {
  Tensor loss({logits.extent(0)}, logits.dtype);
  kernels::cross_entropy_forward({.logits = logits, .label = label, .class_weight = class_weight, .loss = loss},
                                 Stream{});
  return loss;
}

Tensor gradient_of(const TensorView& logits, const TensorView& label, const TensorView& class_weight) {
  const Tensor grad = test::random_tensor({logits.extent(0)}, logits.dtype, 9);
  Tensor loss({logits.extent(0)}, logits.dtype), gradient(logits.shape, logits.dtype);
  kernels::cross_entropy_backward(
      {.forward = {.logits = logits, .label = label, .class_weight = class_weight, .loss = loss},
       .grad_loss = grad,
       .grad_logits = gradient},
      Stream{});
  return gradient;
}

TEST_CASE("cross_entropy agrees with its definition") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t classes = GENERATE(2, 3, 10), rows = 700;
  const bool weighted = GENERATE(false, true);
  const Tensor logits = test::random_tensor({3, rows, classes}, dtype, 1, 3.0);
  const Tensor label = test::random_integers({3, rows}, static_cast<std::int32_t>(classes), 2);
  const Tensor weight = test::random_tensor({3, classes}, dtype, 3, 0.2, 1.0);
  const auto z = test::values(logits), w = test::values(weight);
  std::vector<double> want;
  for (std::int64_t b = 0; b < 3; ++b) {
    double sum = 0.0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t y = label.as<std::int32_t>()[b * rows + r], at = (b * rows + r) * classes;
      const auto p = test::softmax({z.begin() + at, z.begin() + at + classes});
      sum -= (weighted ? w[static_cast<std::size_t>(b * classes + y)] : 1.0) * std::log(p[static_cast<std::size_t>(y)]);
    }
    want.push_back(sum / static_cast<double>(rows));
  }
  const TensorView class_weight = weighted ? weight.view() : TensorView{};
  CHECK(test::largest_difference(test::values(loss_of(logits, label, class_weight)), want) <=
        test::tolerance("cross_entropy", dtype, test::largest(want)));
  const Tensor fine_weight = test::convert(weight, DType::float64);
  const auto fine = test::values(
      gradient_of(test::convert(logits, DType::float64), label, weighted ? fine_weight.view() : TensorView{}));
  CHECK(test::largest_difference(test::values(gradient_of(logits, label, class_weight)), fine) <=
        test::tolerance("cross_entropy", dtype, test::largest(fine)));
}

TEST_CASE("cross_entropy has the gradients of finite differences") {
  const std::int64_t classes = GENERATE(2, 4);
  const Tensor label = test::random_integers({2, 9}, static_cast<std::int32_t>(classes), 2);
  const Tensor weight = test::random_tensor({2, classes}, DType::float64, 3, 0.2, 1.0);
  const auto check = test::gradcheck(
      {test::random_tensor({2, 9, classes}, DType::float64, 2)},
      [&](Tape& tape, const std::vector<Variable>& in) { return op::cross_entropy(tape, in[0], label, weight); });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("cross_entropy: same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t classes = GENERATE(2, 3);
  const Tensor logits = test::random_tensor({3, 1500, classes}, dtype, 1);
  const Tensor label = test::random_integers({3, 1500}, static_cast<std::int32_t>(classes), 2);
  Tensor loss, gradient;
  {
    const test::ThreadCount one(1);
    loss = loss_of(logits, label, {});
    gradient = gradient_of(logits, label, {});
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(loss, loss_of(logits, label, {})));
    CHECK(test::same_bits(gradient, gradient_of(logits, label, {})));
  }
  for (std::int64_t b = 0; b < 3; ++b)
    CHECK(test::same_bits(loss_of(slice_rows(logits, b, 1), slice_rows(label, b, 1), {}), slice_rows(loss, b, 1)));
}

TEST_CASE("cross_entropy: edges") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor logits = test::make_tensor({2, 1, 2}, dtype, {1e4, -1e4, 1e4, -1e4});
  const Tensor label = test::make_tensor({2, 1}, DType::int32, {0, 1});
  const auto loss = test::values(loss_of(logits, label, {}));
  CHECK(loss[0] == Approx(0.0).margin(1e-12));
  CHECK(loss[1] == Approx(2e4));
  for (double value : test::values(gradient_of(logits, label, {}))) CHECK(std::isfinite(value));
  const Tensor three = test::make_tensor({1, 1, 3}, dtype, {1e4, 0, -1e4});
  CHECK(test::values(loss_of(three, test::make_tensor({1, 1}, DType::int32, {2}), {}))[0] == Approx(2e4));
  CHECK_NOTHROW(loss_of(Tensor({0, 1, 2}, dtype), Tensor({0, 1}, DType::int32), {}));
  CHECK_THROWS_WITH(loss_of(logits, test::make_tensor({2, 1}, DType::int32, {0, 2}), {}),
                    Catch::Contains("row 0 of network 1 has label 2"));
}

}  // namespace
}  // namespace amend
