// y = value; y += scale * x; y *= x. Bytes: 4, 12 and 12 per element.
#include "kernels/fill.hpp"

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
void fill_with(const Fill& a, Stream stream) {
  T* y = a.y.as<T>();
  const T value = static_cast<T>(a.value);
  for_elements(a.y.count(), stream, [=] __device__(std::int64_t i) { y[i] = value; });
}

template <class T>
void start(const ModulationStart& a, Stream stream) {
  T* y = a.y.as<T>();
  const std::int64_t ones = a.ones;
  const T step = static_cast<T>(a.step);
  for_elements(a.y.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t third = i % (3 * ones) / ones;
    y[i] = third == 0 ? T(1) : third == 1 ? T(0) : step;
  });
}

template <class T>
void add(const Accumulate& a, Stream stream) {
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  const T scale = static_cast<T>(a.scale);
  for_elements(a.y.count(), stream, [=] __device__(std::int64_t i) { y[i] += scale * x[i]; });
}

template <class T>
void scale(const Multiply& a, Stream stream) {
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  for_elements(a.y.count(), stream, [=] __device__(std::int64_t i) { y[i] *= x[i]; });
}

}  // namespace

void fill(const Fill& args, Stream stream) {
  dispatch_float("fill", args.y.dtype, [&](auto zero) { fill_with<decltype(zero)>(args, stream); });
}

void modulation_start(const ModulationStart& args, Stream stream) {
  check(args.y.shape.rank() == 2 && args.y.extent(1) == 3 * args.ones, "modulation_start", "expected rows of ",
        3 * args.ones, ", got ", args.y.shape);
  dispatch_float("modulation_start", args.y.dtype, [&](auto zero) { start<decltype(zero)>(args, stream); });
}

void accumulate(const Accumulate& args, Stream stream) {
  expect("accumulate", "x", args.x, args.y.shape, args.y.dtype);
  dispatch_float("accumulate", args.y.dtype, [&](auto zero) { add<decltype(zero)>(args, stream); });
}

void multiply(const Multiply& args, Stream stream) {
  expect("multiply", "x", args.x, args.y.shape, args.y.dtype);
  dispatch_float("multiply", args.y.dtype, [&](auto zero) { scale<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
