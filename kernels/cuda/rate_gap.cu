// gap[b] = sum over conditions of the mean over pairs i < j of d^2 / (sqrt(d^2 + e^2) + e), d = rate_i - rate_j: see
// the CPU twin. A thread a network; backward, a cell. Bytes: 4 cells forward, 12 cells backward per network.
// Operations: about 30 per pair.
#include "kernels/rate_gap.hpp"

#include <cmath>

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr const char* kRateGap = "rate_gap";

template <class T>
T pair_share(const RateGap& a) {
  return T(2) / static_cast<T>(std::int64_t{a.groups} * (a.groups - 1));
}

template <class T>
void forward(const RateGap& a, Stream stream) {
  const T epsilon = static_cast<T>(a.epsilon), share = pair_share<T>(a);
  const T* rates = a.rates.as<T>();
  T* gap = a.gap.as<T>();
  const int conditions = a.conditions, groups = a.groups;
  for_elements(a.gap.count(), stream, [=] __device__(std::int64_t b) {
    T sum = T(0);
    for (int condition = 0; condition < conditions; ++condition) {
      const T* rate = rates + (b * conditions + condition) * groups;
      for (int i = 0; i < groups; ++i)
        for (int j = i + 1; j < groups; ++j) {
          const T d = rate[i] - rate[j];
          sum += share * d * d / (std::sqrt(d * d + epsilon * epsilon) + epsilon);
        }
    }
    gap[b] = sum;
  });
}

template <class T>
void backward(const RateGapGradient& g, Stream stream) {
  const RateGap& a = g.forward;
  const T epsilon = static_cast<T>(a.epsilon), share = pair_share<T>(a);
  const T *rates = a.rates.as<T>(), *grad_gap = g.grad_gap.as<T>();
  T* grad_rates = g.grad_rates.as<T>();
  const int conditions = a.conditions, groups = a.groups;
  for_elements(a.rates.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t cell = i / groups * groups, b = cell / (std::int64_t{conditions} * groups);
    T sum = T(0);
    for (int j = 0; j < groups; ++j) {  // the pair of a cell with itself has d = 0
      const T d = rates[i] - rates[cell + j];
      sum += d / std::sqrt(d * d + epsilon * epsilon);
    }
    grad_rates[i] += grad_gap[b] * share * sum;
  });
}

void validate(const RateGap& a) {
  check(a.conditions > 0, kRateGap, "expected at least one condition, got ", a.conditions);
  check(a.groups >= 2, kRateGap, "expected at least two groups, got ", a.groups);
  check(a.epsilon > 0.0, kRateGap, "expected a positive epsilon, got ", a.epsilon);
  expect(kRateGap, "rates", a.rates, {a.rates.extent(0), std::int64_t{a.conditions} * a.groups}, a.rates.dtype);
  expect(kRateGap, "gap", a.gap, {a.rates.extent(0)}, a.rates.dtype);
}

}  // namespace

void rate_gap_forward(const RateGap& args, Stream stream) {
  validate(args);
  dispatch_float(kRateGap, args.rates.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void rate_gap_backward(const RateGapGradient& args, Stream stream) {
  validate(args.forward);
  expect(kRateGap, "grad_gap", args.grad_gap, args.forward.gap.shape, args.forward.rates.dtype);
  expect(kRateGap, "grad_rates", args.grad_rates, args.forward.rates.shape, args.forward.rates.dtype);
  dispatch_float(kRateGap, args.forward.rates.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
