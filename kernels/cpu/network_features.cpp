// A handful of logarithms per network.
#include "kernels/network_features.hpp"

#include "kernels/cpu/tile.hpp"
#include "kernels/math.hpp"

namespace amend::kernels::cpu {

void network_features(const NetworkFeatures& args, Stream) {
  const std::int64_t networks = args.lambda.extent(0), requirements = args.lambda.extent(1);
  const std::int64_t features = network_feature_count(requirements);
  const DType dtype = args.lambda.dtype;
  check(args.pass >= 1 && args.pass <= kPassFlags, "network_features", "expected pass 1 to ", kPassFlags, ", got ",
        args.pass);
  expect("network_features", "divergence", args.divergence, {networks}, dtype);
  expect("network_features", "requirement", args.requirement, {networks, requirements}, dtype);
  expect("network_features", "feature", args.feature, {networks, features}, dtype);
  expect("network_features", "reference", args.reference, {networks}, dtype);
  dispatch_float("network_features", dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t n = 0; n < networks; ++n) {
      T* f = args.feature.as<T>() + n * features;
      const T divergence = std::max(args.divergence.as<T>()[n], T(0));
      f[0] = logarithm(divergence + T(1e-5)) / T(3) + T(2);
      for (int p = 0; p < kPassFlags; ++p) f[1 + p] = args.pass == p + 1 ? T(1) : T(0);
      T reference = 0;
      for (std::int64_t r = 0; r < requirements; ++r) {
        const T lambda = args.lambda.as<T>()[n * requirements + r];
        const T value = std::max(args.requirement.as<T>()[n * requirements + r], T(0));
        T* out = f + 1 + kPassFlags + 3 * r;
        const bool on = lambda > T(0);
        out[0] = on ? T(3) * value : T(0);
        out[1] = on ? logarithm(lambda * value / (divergence + T(1e-5)) + T(1e-3)) / T(3) : T(0);
        out[2] = on ? logarithm(divergence / lambda + T(1e-4)) / T(3) : T(0);
        if (on && reference == T(0)) reference = lambda;
      }
      args.reference.as<T>()[n] = reference > T(0) ? reference : T(1e-2);
    }
  });
}

}  // namespace amend::kernels::cpu
