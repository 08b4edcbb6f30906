// Gates and their penalties, a tile of gates (backward: a network) a task. Bytes an element: 12 forward, 16 backward.
// Operations: one or two exponentials.
#include "kernels/gate.hpp"

#include <type_traits>

#include "engine/random.hpp"
#include "kernels/cpu/lane_sums.hpp"
#include "kernels/cpu/tile.hpp"
#include "kernels/gate_math.hpp"

namespace amend::kernels::cpu {

namespace {

/// Calls `body(kind, training)` with both as constants: its loops have no branches then, and vectorise.
template <class Body>
void with_kind(const Gate& a, const Body& body) {
  const auto of_kind = [&](auto kind) {
    if (a.training)
      body(kind, std::true_type{});
    else
      body(kind, std::false_type{});
  };
  switch (a.kind) {
    case GateKind::scale: return of_kind(std::integral_constant<GateKind, GateKind::scale>{});
    case GateKind::straight_through: return of_kind(std::integral_constant<GateKind, GateKind::straight_through>{});
    case GateKind::hard_concrete: return of_kind(std::integral_constant<GateKind, GateKind::hard_concrete>{});
  }
}

template <class T>
void forward(const Gate& a) {
  constexpr std::int64_t kTile = 256, kRows = 32 * kTile;
  const T* logit = a.logit.as<T>();
  const T* noise = a.training ? elements<T>(a.noise) : nullptr;
  T* gate = a.gate.as<T>();
  const T temperature = static_cast<T>(a.temperature), bound = static_cast<T>(a.bound);
  const auto& tiles = row_tiles(a.segments, kRows);
  const auto count = static_cast<std::int64_t>(tiles.size());
  double *open_sum = scratch<double>(0, 2 * count), *excess_sum = open_sum + count;  // counts of up to a million gates
  with_kind(a, [&](auto kind, auto training) {
    parallel_for(count, [&](std::int64_t t) {
      const RowTile& tile = tiles[static_cast<std::size_t>(t)];
      const std::int64_t end = tile.first + tile.count;
      T draw[kTile] = {}, open[kTile], excess[kTile];
      open_sum[t] = excess_sum[t] = 0;
      for (std::int64_t i = tile.first; i < end; i += kTile) {
        const std::int64_t some = std::min(kTile, end - i);
        if (noise) std::copy_n(noise + i, some, draw);
        for (std::int64_t k = 0; k < some; ++k) {
          const auto value = evaluate_gate(kind(), training(), temperature, bound, logit[i + k], draw[k]);
          gate[i + k] = value.gate;
          open[k] = value.open;
          excess[k] = value.excess;
        }
        open_sum[t] += lane_sum<double>(some, [&](std::int64_t k) { return static_cast<double>(open[k]); });
        excess_sum[t] +=
            lane_sum<double>(some, [&](std::int64_t k) { return static_cast<double>(excess[k] * excess[k]); });
      }
    });
  });
  T *penalty = a.penalty.as<T>(), *barrier = a.barrier.as<T>();
  std::int64_t t = 0;
  for (std::int32_t s = 0; s < a.segments.count; ++s) {
    double open = 0, excess = 0;
    for (; t < count && tiles[static_cast<std::size_t>(t)].segment == s; ++t) {
      open += open_sum[t];
      excess += excess_sum[t];
    }
    const auto rows = static_cast<double>(std::max<std::int64_t>(a.segments.offset[s + 1] - a.segments.offset[s], 1));
    penalty[s] = static_cast<T>(open / rows);
    barrier[s] = static_cast<T>(excess / rows);
  }
}

template <class T>
void backward(const GateGradient& g) {
  constexpr std::int64_t kTile = 256;
  const Gate& a = g.forward;
  const T* logit = a.logit.as<T>();
  const T* noise = a.training ? elements<T>(a.noise) : nullptr;
  const T* grad_gate = elements<T>(g.grad_gate);
  T* grad_logit = g.grad_logit.as<T>();
  const T temperature = static_cast<T>(a.temperature), bound = static_cast<T>(a.bound);
  with_kind(a, [&](auto kind, auto training) {
    parallel_for(a.segments.count, [&](std::int64_t s) {
      const std::int64_t begin = a.segments.offset[s], end = a.segments.offset[s + 1];
      const T count = static_cast<T>(std::max<std::int64_t>(end - begin, 1));
      const T grad_open = g.grad_penalty ? g.grad_penalty.as<T>()[s] / count : T(0);
      const T grad_excess = g.grad_barrier ? g.grad_barrier.as<T>()[s] / count : T(0);
      T draw[kTile] = {}, grad[kTile] = {};
      for (std::int64_t i = begin; i < end; i += kTile) {
        const std::int64_t some = std::min(kTile, end - i);
        if (noise) std::copy_n(noise + i, some, draw);
        if (grad_gate) std::copy_n(grad_gate + i, some, grad);
        for (std::int64_t k = 0; k < some; ++k) {
          const auto value = evaluate_gate(kind(), training(), temperature, bound, logit[i + k], draw[k]);
          grad_logit[i + k] +=
              grad[k] * value.gate_slope + grad_open * value.open_slope + grad_excess * T(2) * value.excess;
        }
      }
    });
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
  if (args.schedule) expect("logistic_noise", "schedule", args.schedule, {2}, DType::float64);
  const double* schedule = args.schedule ? args.schedule.as<double>() : nullptr;
  const RandomStream random(args.seed, args.stream, schedule ? static_cast<std::uint32_t>(schedule[0]) : args.step);
  dispatch_float("logistic_noise", args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T scale = static_cast<T>(schedule ? schedule[1] : args.scale);
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
