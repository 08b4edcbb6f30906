// Gates and their penalties, a network a block. Bytes an element: 12 forward, 16 backward. Operations: one or two
// exponentials. logistic_noise: 4 bytes an element, a quarter of Philox and two logarithms.
#include "kernels/gate.hpp"

#include "engine/random.hpp"
#include "kernels/cuda/reduction.cuh"
#include "kernels/gate_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
struct GateInput {
  GateKind kind;
  bool training;
  T temperature, bound;
  const T *logit, *noise;
  Segments segments;

  explicit GateInput(const Gate& a)
      : kind(a.kind),
        training(a.training),
        temperature(static_cast<T>(a.temperature)),
        bound(static_cast<T>(a.bound)),
        logit(a.logit.as<T>()),
        noise(a.training ? elements<T>(a.noise) : nullptr),
        segments(a.segments) {}

  __device__ GateValue<T> at(std::int64_t i) const {
    return evaluate_gate(kind, training, temperature, bound, logit[i], noise ? noise[i] : T(0));
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) forward_kernel(GateInput<T> in, T* gate, T* penalty, T* barrier) {
  const std::int64_t segment = blockIdx.x, begin = in.segments.offset[segment], end = in.segments.offset[segment + 1];
  double open = 0, excess = 0;  // counts of up to a million gates
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const GateValue<T> value = in.at(i);
    gate[i] = value.gate;
    open += static_cast<double>(value.open);
    excess += static_cast<double>(value.excess * value.excess);
  }
  open = block_sum(open);
  excess = block_sum(excess);
  if (threadIdx.x != 0) return;
  const double count = end > begin ? static_cast<double>(end - begin) : 1.0;
  penalty[segment] = static_cast<T>(open / count);
  barrier[segment] = static_cast<T>(excess / count);
}

template <class T>
void forward(const Gate& a, Stream stream) {
  launch(forward_kernel<T>, grid_of(a.segments.count), dim3(kThreads), 0, stream, GateInput<T>(a), a.gate.as<T>(),
         a.penalty.as<T>(), a.barrier.as<T>());
}

template <class T>
void backward(const GateGradient& g, Stream stream) {
  const GateInput<T> in(g.forward);
  const T *grad_gate = elements<T>(g.grad_gate), *grad_penalty = elements<T>(g.grad_penalty),
          *grad_barrier = elements<T>(g.grad_barrier);
  T* grad_logit = g.grad_logit.as<T>();
  for_elements(g.forward.logit.count(), stream, [=] __device__(std::int64_t i) {
    const std::int32_t s = segment_of(in.segments, i);
    const T count = static_cast<T>(in.segments.offset[s + 1] - in.segments.offset[s]);
    const T grad_open = grad_penalty ? grad_penalty[s] / count : T(0);
    const T grad_excess = grad_barrier ? grad_barrier[s] / count : T(0);
    const GateValue<T> value = in.at(i);
    grad_logit[i] += (grad_gate ? grad_gate[i] : T(0)) * value.gate_slope + grad_open * value.open_slope +
                     grad_excess * T(2) * value.excess;
  });
}

template <class T>
void noise(const LogisticNoise& a, Stream stream) {
  const std::uint64_t seed = a.seed;
  const std::uint32_t sequence = a.stream, fixed_step = a.step;
  const double *schedule = elements<double>(a.schedule), fixed_scale = a.scale;
  const std::int64_t count = a.y.count();
  T* y = a.y.as<T>();
  for_elements(ceil_div(count, 4), stream, [=] __device__(std::int64_t four) {
    const RandomStream random(seed, sequence, schedule ? static_cast<std::uint32_t>(schedule[0]) : fixed_step);
    const T scale = static_cast<T>(schedule ? schedule[1] : fixed_scale);
    const auto words = random.block(static_cast<std::uint64_t>(four));
    for (std::int64_t k = 0; k < 4 && 4 * four + k < count; ++k) {
      const float u = RandomStream::unit_interval(words[static_cast<std::size_t>(k)]);
      y[4 * four + k] = scale * static_cast<T>(logarithm(u) - logarithm(1.0f - u));
    }
  });
}

void validate(const Gate& a) {
  const DType dtype = a.logit.dtype;
  check(a.temperature > 0.0 && a.bound > 0.0, "gate", "expected a temperature and a bound above 0");
  if (a.noise) expect("gate", "noise", a.noise, a.logit.shape, dtype);
  expect("gate", "gate", a.gate, a.logit.shape, dtype);
  expect("gate", "penalty", a.penalty, {a.segments.count}, dtype);
  expect("gate", "barrier", a.barrier, {a.segments.count}, dtype);
}

}  // namespace

void gate_forward(const Gate& args, Stream stream) {
  validate(args);
  dispatch_float("gate", args.logit.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void gate_backward(const GateGradient& args, Stream stream) {
  validate(args.forward);
  const Gate& a = args.forward;
  const DType dtype = a.logit.dtype;
  if (args.grad_gate) expect("gate", "grad_gate", args.grad_gate, a.logit.shape, dtype);
  if (args.grad_penalty) expect("gate", "grad_penalty", args.grad_penalty, {a.segments.count}, dtype);
  if (args.grad_barrier) expect("gate", "grad_barrier", args.grad_barrier, {a.segments.count}, dtype);
  expect("gate", "grad_logit", args.grad_logit, a.logit.shape, dtype);
  dispatch_float("gate", dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

void logistic_noise(const LogisticNoise& args, Stream stream) {
  if (args.schedule) expect("logistic_noise", "schedule", args.schedule, {2}, DType::float64);
  dispatch_float("logistic_noise", args.y.dtype, [&](auto zero) { noise<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
