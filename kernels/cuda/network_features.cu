// A handful of logarithms per network; a thread each.
#include "kernels/network_features.hpp"

#include "kernels/cuda/launch.cuh"
#include "kernels/math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
void run(const NetworkFeatures& a, Stream stream) {
  const std::int64_t requirements = a.lambda.extent(1), features = network_feature_count(requirements);
  const T *divergences = a.divergence.as<T>(), *values = a.requirement.as<T>(), *lambdas = a.lambda.as<T>();
  T *feature = a.feature.as<T>(), *references = a.reference.as<T>();
  const int pass = a.pass;
  for_elements(a.lambda.extent(0), stream, [=] __device__(std::int64_t n) {
    T* f = feature + n * features;
    const T divergence = divergences[n] < T(0) ? T(0) : divergences[n];  // NaN stays NaN
    f[0] = logarithm(divergence + T(1e-5)) / T(3) + T(2);
    for (int p = 0; p < kPassFlags; ++p) f[1 + p] = pass == p + 1 ? T(1) : T(0);
    T reference = T(0);
    for (std::int64_t r = 0; r < requirements; ++r) {
      const T lambda = lambdas[n * requirements + r], signed_value = values[n * requirements + r];
      const T value = signed_value < T(0) ? T(0) : signed_value;
      T* out = f + 1 + kPassFlags + 3 * r;
      const bool on = lambda > T(0);
      out[0] = on ? T(3) * value : T(0);
      out[1] = on ? logarithm(lambda * value / (divergence + T(1e-5)) + T(1e-3)) / T(3) : T(0);
      out[2] = on ? logarithm(divergence / lambda + T(1e-4)) / T(3) : T(0);
      if (on && reference == T(0)) reference = lambda;
    }
    references[n] = reference > T(0) ? reference : T(1e-2);
  });
}

}  // namespace

void network_features(const NetworkFeatures& args, Stream stream) {
  const std::int64_t networks = args.lambda.extent(0), requirements = args.lambda.extent(1);
  const DType dtype = args.lambda.dtype;
  check(args.pass >= 1 && args.pass <= kPassFlags, "network_features", "expected pass 1 to ", kPassFlags, ", got ",
        args.pass);
  expect("network_features", "divergence", args.divergence, {networks}, dtype);
  expect("network_features", "requirement", args.requirement, {networks, requirements}, dtype);
  expect("network_features", "feature", args.feature, {networks, network_feature_count(requirements)}, dtype);
  expect("network_features", "reference", args.reference, {networks}, dtype);
  dispatch_float("network_features", dtype, [&](auto zero) { run<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
