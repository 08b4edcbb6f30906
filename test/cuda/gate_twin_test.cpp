#include "kernels/gate.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(gate_forward, Gate)
AMEND_TWINS(gate_backward, GateGradient)
AMEND_TWINS(logistic_noise, LogisticNoise)

namespace amend::test {
namespace {

using kernels::GateKind;

struct GateCase {
  GateKind kind;
  bool training;
  Tensor logit, noise, grad_gate, grad_penalty, grad_barrier;
};

std::vector<Tensor> run_gate(Twin twin, const GateCase& c, const kernels::Segments& segments) {
  const DType dtype = c.logit.view().dtype;
  const std::int64_t n = c.logit.count();
  const Tensor gate = unset({n}, dtype), penalty = unset({segments.count}, dtype),
               barrier = unset({segments.count}, dtype), grad_logit = random_tensor({n}, dtype, 9);
  const kernels::Gate forward{.kind = c.kind,
                              .training = c.training,
                              .temperature = 0.7,
                              .bound = 3.0,
                              .logit = c.logit,
                              .noise = c.noise,
                              .segments = segments,
                              .gate = gate,
                              .penalty = penalty,
                              .barrier = barrier};
  twins::gate_forward(twin, forward);
  twins::gate_backward(twin, {.forward = forward,
                              .grad_gate = c.grad_gate,
                              .grad_penalty = c.grad_penalty,
                              .grad_barrier = c.grad_barrier,
                              .grad_logit = grad_logit});
  return {gate, penalty, barrier, grad_logit};
}

TEST_CASE("cuda gate") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const GateKind kind = GENERATE(GateKind::scale, GateKind::straight_through, GateKind::hard_concrete);
  const bool training = GENERATE(false, true), all = GENERATE(false, true);
  const std::vector<std::int64_t> offset = {0, 1, 700, 700, 1000};
  const auto optional = [&](Shape shape, std::uint64_t seed) {
    return all ? random_tensor(shape, dtype, seed) : Tensor();
  };
  const GateCase batch{kind,
                       training,
                       random_tensor({1000}, dtype, 1, 2.5),
                       optional({1000}, 2),
                       optional({1000}, 3),
                       random_tensor({4}, dtype, 4),
                       optional({4}, 5)};
  const std::vector<Tensor> got = compare_twins("gate", [&](Twin twin) {
    return run_gate(twin, batch, {offset.data(), 4});
  });
  for (std::int64_t s : {0, 1, 3}) {  // the same bits alone
    const std::int64_t first = offset[static_cast<std::size_t>(s)],
                       count = offset[static_cast<std::size_t>(s) + 1] - first;
    const auto rows = [&](const Tensor& x) { return x ? convert(slice_rows(x, first, count), dtype) : Tensor(); };
    const auto row = [&](const Tensor& x) { return x ? convert(slice_rows(x, s, 1), dtype) : Tensor(); };
    const std::vector<std::int64_t> own = {0, count};
    const std::vector<Tensor> alone =
        run_gate(Twin::cuda,
                 {kind, training, rows(batch.logit), rows(batch.noise), rows(batch.grad_gate), row(batch.grad_penalty),
                  row(batch.grad_barrier)},
                 {own.data(), 1});
    CHECK(same_bits(alone[0], rows(got[0])));
    CHECK(same_bits(alone[1], row(got[1])));
    CHECK(same_bits(alone[2], row(got[2])));
  }
}

TEST_CASE("cuda gate of no networks") {
  const std::vector<std::int64_t> offset = {0};
  const Tensor none({0}, DType::float32);
  CHECK_NOTHROW(run_gate(Twin::cuda, {GateKind::scale, true, none, none, none, none, none}, {offset.data(), 0}));
}

TEST_CASE("cuda logistic_noise is the CPU's sequence") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t count = GENERATE(0, 1, 6, 4099);
  const auto run = [&](Twin twin) {
    const Tensor y = unset({count}, dtype);
    twins::logistic_noise(twin, {.y = y, .seed = 7, .stream = 3, .step = 9, .scale = 0.8});
    const Tensor scheduled = unset({count}, dtype), schedule = make_tensor({2}, DType::float64, {9, 0.8});
    twins::logistic_noise(twin, {.y = scheduled, .seed = 7, .stream = 3, .schedule = schedule});
    CHECK(same_bits(scheduled, y));
    return std::vector<Tensor>{y};
  };
  // The draws are the same bits; logarithms may contract products and sums differently: float's epsilon for both types.
  const double magnitude = dtype == DType::float32 ? 4.0 : 4.0 * 0x1p29;
  compare_twins("pointwise", run, {magnitude});
}

}  // namespace
}  // namespace amend::test
