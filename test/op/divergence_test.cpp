#include "autograd/op/divergence.hpp"

#include <catch2/catch.hpp>

#include "test/support/gradcheck.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/subject_oracle.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

constexpr double kLn2 = 0.69314718055994530942;

Tensor divergence_of(const TensorView& p, const TensorView& q, std::int64_t row_count) {
  Tensor result({p.extent(0)}, p.dtype);
  kernels::divergence_forward({.logits_p = p, .logits_q = q, .row_count = row_count, .divergence = result}, Stream{});
  return result;
}

Tensor gradient_of(const TensorView& p, const TensorView& q, std::int64_t row_count) {
  Tensor result({p.extent(0)}, p.dtype), gradient(q.shape, q.dtype);
  const Tensor grad = test::random_tensor({p.extent(0)}, p.dtype, 99);
  kernels::divergence_backward({.forward = {.logits_p = p, .logits_q = q, .row_count = row_count, .divergence = result},
                                .grad_divergence = grad,
                                .grad_logits_q = gradient},
                               Stream{});
  return gradient;
}

std::vector<double> oracle(const TensorView& logits_p, const TensorView& logits_q, std::int64_t row_count) {
  const std::vector<double> zp = test::values(logits_p), zq = test::values(logits_q);
  const std::int64_t rows = logits_p.extent(1), classes = logits_p.extent(2);
  std::vector<double> result;
  for (std::int64_t b = 0; b < logits_p.extent(0); ++b) {
    long double sum = 0.0;
    for (std::int64_t r = 0; r < row_count; ++r) {
      const auto at = (b * rows + r) * classes;
      const auto p = test::softmax({zp.begin() + at, zp.begin() + at + classes});
      const auto q = test::softmax({zq.begin() + at, zq.begin() + at + classes});
      for (std::size_t c = 0; c < p.size(); ++c) {
        const double m = 0.5 * (p[c] + q[c]);
        if (p[c] > 0.0) sum += 0.5 * p[c] * std::log(p[c] / m);
        if (q[c] > 0.0) sum += 0.5 * q[c] * std::log(q[c] / m);
      }
    }
    result.push_back(static_cast<double>(sum / static_cast<long double>(row_count)));
  }
  return result;
}

TEST_CASE("divergence agrees with its definition") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t classes = GENERATE(2, 3, 10);
  const double scale = GENERATE(0.1, 1.0, 30.0);
  const Tensor p = test::random_tensor({3, 700, classes}, dtype, 1, scale),
               q = test::random_tensor({3, 700, classes}, dtype, 2, scale);
  const double error = test::largest_difference(test::values(divergence_of(p, q, 600)), oracle(p, q, 600));
  CHECK(error / test::tolerance("divergence", dtype, kLn2) <= 1.0);
  const auto fine = test::values(gradient_of(test::convert(p, DType::float64), test::convert(q, DType::float64), 600));
  const double gradient_error = test::largest_difference(test::values(gradient_of(p, q, 600)), fine);
  CHECK(gradient_error / test::tolerance("divergence", dtype, 1.0 / 600) <= 1.0);
}

TEST_CASE("divergence of nearly equal logits keeps its relative accuracy in float32") {
  const std::int64_t classes = GENERATE(2, 3);
  const Tensor p = test::random_tensor({1, 512, classes}, DType::float32, 1);
  Tensor q = test::convert(p, DType::float32);
  const Tensor change = test::random_tensor({1, 512, classes}, DType::float32, 2, 1e-3);
  for (std::int64_t i = 0; i < q.count(); ++i) q.as<float>()[i] += change.as<float>()[i];
  const double want = oracle(test::convert(p, DType::float64), test::convert(q, DType::float64), 512)[0];
  // An error of epsilon in both softmaxes against a distance of about 1e-3.
  CHECK(std::fabs(test::values(divergence_of(p, q, 512))[0] - want) < 2e-3 * want);
}

TEST_CASE("divergence has the gradients of finite differences") {
  const std::int64_t classes = GENERATE(2, 4);
  const Tensor p = test::random_tensor({2, 9, classes}, DType::float64, 1);
  const auto check =
      test::gradcheck({test::random_tensor({2, 9, classes}, DType::float64, 2)},
                      [&](Tape& tape, const std::vector<Variable>& in) { return op::divergence(tape, p, in[0], 7); });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("divergence stays finite and in range at the extremes") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const double huge = GENERATE(100.0, 1e4, 1e30);
  const Tensor p = test::make_tensor({4, 1, 2}, dtype, {huge, -huge, huge, -huge, -huge, huge, 0, 0});
  const Tensor q = test::make_tensor({4, 1, 2}, dtype, {huge, -huge, -huge, huge, 0, 0, huge, -huge});
  const auto got = test::values(divergence_of(p, q, 1));
  CHECK(got[0] == Approx(0.0).margin(1e-12));
  CHECK(got[1] == Approx(kLn2));
  CHECK(got[2] == Approx(0.75 * std::log(4.0 / 3.0)));
  CHECK(got[3] == Approx(got[2]));
  for (double value : test::values(gradient_of(p, q, 1))) CHECK(std::isfinite(value));
  const Tensor p3 = test::make_tensor({1, 1, 3}, dtype, {huge, 0, -huge}),
               q3 = test::make_tensor({1, 1, 3}, dtype, {-huge, 0, huge});
  CHECK(test::values(divergence_of(p3, q3, 1))[0] == Approx(kLn2));
  for (double value : test::values(gradient_of(p3, q3, 1))) CHECK(std::isfinite(value));
  for (double value : test::values(divergence_of(p, p, 1))) CHECK(value == 0.0);
}

TEST_CASE("divergence: same bits alone, in a batch and for any number of threads; rows beyond row_count are left out") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t classes = GENERATE(2, 3);
  const Tensor p = test::random_tensor({4, 1500, classes}, dtype, 1),
               q = test::random_tensor({4, 1500, classes}, dtype, 2);
  Tensor value, gradient;
  {
    const test::ThreadCount one(1);
    value = divergence_of(p, q, 1400);
    gradient = gradient_of(p, q, 1400);
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(value, divergence_of(p, q, 1400)));
    CHECK(test::same_bits(gradient, gradient_of(p, q, 1400)));
  }
  for (std::int64_t b = 0; b < 4; ++b) {
    CHECK(test::same_bits(divergence_of(slice_rows(p, b, 1), slice_rows(q, b, 1), 1400), slice_rows(value, b, 1)));
    const auto grads = test::values(slice_rows(gradient, b, 1));
    CHECK(test::largest({grads.begin() + 1400 * classes, grads.end()}) == 0.0);
  }
  CHECK_NOTHROW(divergence_of(Tensor({0, 5, 2}, dtype), Tensor({0, 5, 2}, dtype), 5));
  CHECK_THROWS_WITH(divergence_of(p, q, 1501), Catch::Contains("row_count"));
}

}  // namespace
}  // namespace amend
