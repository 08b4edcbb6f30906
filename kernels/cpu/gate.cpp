// Gates and their penalties, a network a task. Bytes an element: 12 forward, 16 backward. Operations: one or two
// exponentials.
#include "kernels/gate.hpp"

#include "engine/random.hpp"
#include "kernels/cpu/tile.hpp"
#include "kernels/gate_math.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
void forward(const Gate& a) {
  const T* logit = a.logit.as<T>();
  const T* noise = a.training && a.noise ? a.noise.as<T>() : nullptr;
  T* gate = a.gate.as<T>();
  T* penalty = a.penalty.as<T>();
  T* barrier = a.barrier.as<T>();
  const T temperature = static_cast<T>(a.temperature), bound = static_cast<T>(a.bound);
  parallel_for(a.segments.count, [&](std::int64_t s) {
    const std::int64_t begin = a.segments.offset[s], end = a.segments.offset[s + 1];
    double open = 0, excess = 0;  // counts of up to a million gates
    for (std::int64_t i = begin; i < end; ++i) {
      const auto value = evaluate_gate(a.kind, a.training, temperature, bound, logit[i], noise ? noise[i] : T(0));
      gate[i] = value.gate;
      open += static_cast<double>(value.open);
      excess += static_cast<double>(value.excess * value.excess);
    }
    const double count = static_cast<double>(std::max<std::int64_t>(end - begin, 1));
    penalty[s] = static_cast<T>(open / count);
    barrier[s] = static_cast<T>(excess / count);
  });
}

template <class T>
void backward(const GateGradient& g) {
  const Gate& a = g.forward;
  const T* logit = a.logit.as<T>();
  const T* noise = a.training && a.noise ? a.noise.as<T>() : nullptr;
  const T* grad_gate = g.grad_gate ? g.grad_gate.as<T>() : nullptr;
  T* grad_logit = g.grad_logit.as<T>();
  const T temperature = static_cast<T>(a.temperature), bound = static_cast<T>(a.bound);
  parallel_for(a.segments.count, [&](std::int64_t s) {
    const std::int64_t begin = a.segments.offset[s], end = a.segments.offset[s + 1];
    const T count = static_cast<T>(std::max<std::int64_t>(end - begin, 1));
    const T grad_open = g.grad_penalty ? g.grad_penalty.as<T>()[s] / count : T(0);
    const T grad_excess = g.grad_barrier ? g.grad_barrier.as<T>()[s] / count : T(0);
    for (std::int64_t i = begin; i < end; ++i) {
      const auto value = evaluate_gate(a.kind, a.training, temperature, bound, logit[i], noise ? noise[i] : T(0));
      grad_logit[i] += (grad_gate ? grad_gate[i] : T(0)) * value.gate_slope + grad_open * value.open_slope +
                       grad_excess * T(2) * value.excess;
    }
  });
}

void validate(const Gate& a) {
  const DType dtype = a.logit.dtype;
  check(a.segments.rows() == a.logit.count(), "gate", "segments cover ", a.segments.rows(), " logits of ",
        a.logit.count());
  check(a.temperature > 0.0 && a.bound > 0.0, "gate", "expected a temperature and a bound above 0");
  if (a.noise) expect("gate", "noise", a.noise, a.logit.shape, dtype);
  expect("gate", "gate", a.gate, a.logit.shape, dtype);
  expect("gate", "penalty", a.penalty, {a.segments.count}, dtype);
  expect("gate", "barrier", a.barrier, {a.segments.count}, dtype);
}

}  // namespace

void gate_forward(const Gate& args, Stream) {
  validate(args);
  dispatch_float("gate", args.logit.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void gate_backward(const GateGradient& args, Stream) {
  validate(args.forward);
  const Gate& a = args.forward;
  const DType dtype = a.logit.dtype;
  if (args.grad_gate) expect("gate", "grad_gate", args.grad_gate, a.logit.shape, dtype);
  if (args.grad_penalty) expect("gate", "grad_penalty", args.grad_penalty, {a.segments.count}, dtype);
  if (args.grad_barrier) expect("gate", "grad_barrier", args.grad_barrier, {a.segments.count}, dtype);
  expect("gate", "grad_logit", args.grad_logit, a.logit.shape, dtype);
  dispatch_float("gate", args.forward.logit.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

void logistic_noise(const LogisticNoise& args, Stream) {
  constexpr std::int64_t kChunk = 4096;
  const RandomStream random(args.seed, args.stream, args.step);
  dispatch_float("logistic_noise", args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T scale = static_cast<T>(args.scale);
    T* y = args.y.as<T>();
    parallel_for((args.y.count() + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
      const std::int64_t end = std::min(args.y.count(), (chunk + 1) * kChunk);
      for (std::int64_t i = chunk * kChunk; i < end; i += 4) {
        const auto words = random.block(static_cast<std::uint64_t>(i) >> 2);
        for (std::int64_t k = i; k < std::min(end, i + 4); ++k) {
          const float u = RandomStream::unit_interval(words[static_cast<std::size_t>(k - i)]);
          y[k] = scale * static_cast<T>(logarithm(u) - logarithm(1.0f - u));
        }
      }
    });
  });
}

}  // namespace amend::kernels::cpu
