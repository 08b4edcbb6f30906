#include "autograd/op/gate.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/random.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using kernels::GateKind;

constexpr std::int64_t kCount = 5000;
const std::vector<std::int64_t> kOffsets = {0, 1, 700, 700, kCount};  // one logit, many, none
constexpr std::int32_t kSegments = 4;

kernels::Segments segments() { return {kOffsets.data(), kSegments}; }

/// Within the bounds for the most part, some beyond.
Tensor random_logits(DType dtype = DType::float64) { return test::random_tensor({kCount}, dtype, 1, 2.5); }
Tensor random_noise(DType dtype) { return test::random_tensor({kCount}, dtype, 2, 1.5); }

test::TapeProgram program(const op::GateOptions& options) {
  return [options](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    const op::GateResult result = op::gate(tape, in[0], segments(), options);
    return {result.gate, result.penalty, result.barrier};
  };
}

std::vector<Tensor> random_grads() {
  return {test::random_tensor({kCount}, DType::float64, 3), test::random_tensor({kSegments}, DType::float64, 4),
          test::random_tensor({kSegments}, DType::float64, 5)};
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct Expected {
  std::vector<double> gate, penalty, barrier, grad_logit;
};

/// Values, and the gradients that the documentation promises. Independent of kernels/gate_math.hpp.
Expected oracle(const op::GateOptions& options, const std::vector<double>& logit, const std::vector<double>& noise,
                const std::vector<Tensor>& grads) {
  Expected e;
  const double temperature = options.temperature, bound = options.bound;
  for (std::int32_t s = 0; s < kSegments; ++s) {
    const auto begin = static_cast<std::size_t>(kOffsets[static_cast<std::size_t>(s)]),
               end = static_cast<std::size_t>(kOffsets[static_cast<std::size_t>(s) + 1]);
    const double count = std::max(1.0, static_cast<double>(end - begin));
    long double open_sum = 0.0, excess_sum = 0.0;  // their rounding is not what is held against the kernel
    for (std::size_t i = begin; i < end; ++i) {
      const double x = std::min(std::max(logit[i], -bound), bound), excess = logit[i] - x;
      double gate = 0.0, slope = 0.0, open = 0.0, open_slope = 0.0;
      if (options.kind == GateKind::scale) {
        gate = 2.0 * sigmoid(logit[i]);
        slope = gate * (1.0 - sigmoid(logit[i]));
      } else if (!options.training) {
        gate = open = logit[i] > 0.0 ? 1.0 : 0.0;
      }
      if (options.kind == GateKind::straight_through) {
        const double soft = sigmoid(x / temperature);
        slope = open_slope = soft * (1.0 - soft) / temperature;
        if (options.training) {
          gate = x / temperature + noise[i] > 0.0 ? 1.0 : 0.0;
          open = soft;
        }
      } else if (options.kind == GateKind::hard_concrete && options.training) {
        // arXiv 1712.01312, eq. 10 - 12 with gamma = -0.1, zeta = 1.1.
        const double s_value = sigmoid((x + noise[i]) / temperature), stretched = 1.2 * s_value - 0.1;
        gate = std::min(1.0, std::max(0.0, stretched));
        slope = stretched > 0.0 && stretched < 1.0 ? 1.2 * s_value * (1.0 - s_value) / temperature : 0.0;
        open = sigmoid(x - temperature * std::log(0.1 / 1.1));
        open_slope = open * (1.0 - open);
      }
      e.gate.push_back(gate);
      open_sum += open;
      if (options.kind != GateKind::scale) excess_sum += excess * excess;
      e.grad_logit.push_back(grads[0].as<double>()[i] * slope + grads[1].as<double>()[s] * open_slope / count +
                             (options.kind == GateKind::scale ? 0.0 : grads[2].as<double>()[s] * 2.0 * excess / count));
    }
    e.penalty.push_back(static_cast<double>(open_sum / count));
    e.barrier.push_back(static_cast<double>(excess_sum / count));
  }
  return e;
}

TEST_CASE("gate: values, penalty, barrier and the documented gradients") {
  const GateKind kind = GENERATE(GateKind::scale, GateKind::straight_through, GateKind::hard_concrete);
  const bool training = GENERATE(false, true), noisy = GENERATE(false, true);
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor logit = random_logits(), noise = random_noise(dtype);
  const op::GateOptions options{.kind = kind,
                                .training = training,
                                .temperature = 0.7,
                                .bound = 3.0,
                                .noise = noisy ? noise.view() : TensorView{}};
  const test::OpRun run = test::run_op({logit}, dtype, program(options), random_grads());
  const Expected expected =
      oracle(options, test::values(logit), noisy ? test::values(noise) : std::vector<double>(kCount), random_grads());
  CHECK(test::close("gate", run.outputs[0], expected.gate));
  CHECK(test::close("gate", run.outputs[1], expected.penalty));
  CHECK(test::close("gate", run.outputs[2], expected.barrier));
  CHECK(test::close("gate", run.gradients[0], expected.grad_logit));
  if (kind != GateKind::scale && (kind == GateKind::straight_through || !training))
    for (double value : test::values(run.outputs[0])) CHECK((value == 0.0 || value == 1.0));
}

TEST_CASE("gate: hard-concrete gates in training close and open exactly") {
  const Tensor logit = random_logits(), noise = random_noise(DType::float32);
  const auto run = test::run_op({logit}, DType::float32,
                                program({.kind = GateKind::hard_concrete, .training = true, .noise = noise}), {});
  const std::vector<double> gates = test::values(run.outputs[0]);
  CHECK(std::count(gates.begin(), gates.end(), 0.0) > 100);
  CHECK(std::count(gates.begin(), gates.end(), 1.0) > 100);
}

TEST_CASE("gate: what is smooth has the gradients of finite differences") {
  // Away from the clamps of the hard-concrete gate and from the bound.
  const kernels::Segments all = {kOffsets.data(), 1};
  const double at = GENERATE(-0.6, -0.1, 0.4, 0.9);
  const GateKind kind = GENERATE(GateKind::scale, GateKind::hard_concrete);
  const auto check =
      test::gradcheck({test::make_tensor({1}, DType::float64, {at})}, [&](Tape& tape, const std::vector<Variable>& in) {
        const op::GateResult result = op::gate(tape, in[0], all, {.kind = kind, .training = true, .temperature = 0.7});
        return test::project(tape, {result.gate, result.penalty, result.barrier}, 3);
      });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("gate: the penalty of straight-through gates has the gradients of finite differences") {
  const kernels::Segments all = {kOffsets.data(), 1};
  const auto check = test::gradcheck({test::make_tensor({1}, DType::float64, {0.3})},
                                     [&](Tape& tape, const std::vector<Variable>& in) {
                                       return op::gate(tape, in[0], all, {.training = true}).penalty;
                                     });
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("gate: a segment has the same bits alone, in a batch and for any number of threads") {
  const GateKind kind = GENERATE(GateKind::scale, GateKind::straight_through, GateKind::hard_concrete);
  const DType dtype = DType::float32;
  const Tensor logit = random_logits(), noise = random_noise(dtype);
  const op::GateOptions options{.kind = kind, .training = true, .noise = noise};
  test::OpRun all;
  {
    const test::ThreadCount one(1);
    all = test::run_op({logit}, dtype, program(options), random_grads());
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(all, test::run_op({logit}, dtype, program(options), random_grads())));
  }
  for (std::int64_t s : {0, 1, 3}) {
    const std::int64_t first = kOffsets[static_cast<std::size_t>(s)],
                       count = kOffsets[static_cast<std::size_t>(s) + 1] - first;
    const std::vector<std::int64_t> offset = {0, count};
    op::GateOptions own = options;
    own.noise = slice_rows(noise, first, count);
    const auto rows = [&](const TensorView& x) { return test::convert(slice_rows(x, first, count), x.dtype); };
    const std::vector<Tensor> grads = random_grads();
    const test::OpRun single =
        test::run_op({rows(logit)}, dtype,
                     [&](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
                       const op::GateResult result = op::gate(tape, in[0], {offset.data(), 1}, own);
                       return {result.gate, result.penalty, result.barrier};
                     },
                     {rows(grads[0]), test::convert(slice_rows(grads[1], s, 1), dtype),
                      test::convert(slice_rows(grads[2], s, 1), dtype)});
    CHECK(test::same_bits(single.outputs[0], rows(all.outputs[0])));
    CHECK(test::same_bits(single.outputs[1], slice_rows(all.outputs[1], s, 1)));
    CHECK(test::same_bits(single.outputs[2], slice_rows(all.outputs[2], s, 1)));
    CHECK(test::same_bits(single.gradients[0], rows(all.gradients[0])));
  }
}

TEST_CASE("gate: mistakes name the argument") {
  const auto error_with = [](const op::GateOptions& options, std::int64_t count) {
    return test::error_of(
        [&] { test::run_op({Tensor({count}, DType::float64)}, DType::float64, program(options), {}); });
  };
  CHECK(error_with({}, kCount).empty());
  CHECK_THAT(error_with({}, 7), Catch::Contains("[gate] segments cover 5000 logits of 7"));
  CHECK_THAT(error_with({.temperature = 0.0}, kCount), Catch::Contains("temperature"));
  const Tensor noise({3}, DType::float64);
  CHECK_THAT(error_with({.noise = noise}, kCount), Catch::Contains("`noise` of shape (5000), got (3)"));
}

TEST_CASE("logistic_noise is the named sequence for any number of threads") {
  const std::int64_t count = 10001;
  const DType dtype = GENERATE(DType::float32, DType::float64);
  Tensor y({count}, dtype), again({count}, dtype);
  kernels::logistic_noise({.y = y, .seed = 7, .stream = 3, .step = 9}, Stream{});
  const RandomStream random(7, 3, 9);
  double worst = 0.0, mean = 0.0, squares = 0.0;
  const std::vector<double> got = test::values(y);
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = got[static_cast<std::size_t>(i)];
    worst = std::max(worst, std::fabs(value - double{random.logistic(static_cast<std::uint64_t>(i))}));
    mean += value / static_cast<double>(count);
    squares += value * value / static_cast<double>(count);
  }
  CHECK(worst < 4e-6);           // a float's logarithm on either side
  CHECK(std::fabs(mean) < 0.1);  // 5 standard errors
  CHECK(std::fabs(squares - std::acos(-1.0) * std::acos(-1.0) / 3.0) < 0.3);
  for (int threads : {1, 3}) {
    const test::ThreadCount several(threads);
    kernels::logistic_noise({.y = again, .seed = 7, .stream = 3, .step = 9}, Stream{});
    CHECK(test::same_bits(y, again));
  }
}

}  // namespace
}  // namespace amend
