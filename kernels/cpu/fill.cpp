// y = value; y += scale * x; y *= x. Bytes: 4, 12 and 12 per element.
#include "kernels/fill.hpp"

#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {
constexpr std::int64_t kChunk = 1 << 16;

template <class Body>
void for_chunks(std::int64_t count, const Body& body) {
  parallel_for((count + kChunk - 1) / kChunk,
               [&](std::int64_t chunk) { body(chunk * kChunk, std::min(count, (chunk + 1) * kChunk)); });
}
}  // namespace

void fill(const Fill& args, Stream) {
  dispatch_float("fill", args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* y = args.y.as<T>();
    for_chunks(args.y.count(), [&](std::int64_t begin, std::int64_t end) {
      std::fill(y + begin, y + end, static_cast<T>(args.value));
    });
  });
}

void modulation_start(const ModulationStart& args, Stream) {
  check(args.y.shape.rank() == 2 && args.y.extent(1) == 3 * args.ones, "modulation_start", "expected rows of ",
        3 * args.ones, ", got ", args.y.shape);
  dispatch_float("modulation_start", args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* y = args.y.as<T>();
    for (std::int64_t row = 0; row < args.y.extent(0); ++row, y += 3 * args.ones) {
      std::fill_n(y, args.ones, T(1));
      std::fill_n(y + args.ones, args.ones, T(0));
      std::fill_n(y + 2 * args.ones, args.ones, static_cast<T>(args.step));
    }
  });
}

void accumulate(const Accumulate& args, Stream) {
  expect("accumulate", "x", args.x, args.y.shape, args.y.dtype);
  dispatch_float("accumulate", args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* x = args.x.as<T>();
    T* y = args.y.as<T>();
    const T scale = static_cast<T>(args.scale);
    for_chunks(args.y.count(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) y[i] += scale * x[i];
    });
  });
}

void multiply(const Multiply& args, Stream) {
  expect("multiply", "x", args.x, args.y.shape, args.y.dtype);
  dispatch_float("multiply", args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* x = args.x.as<T>();
    T* y = args.y.as<T>();
    for_chunks(args.y.count(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) y[i] *= x[i];
    });
  });
}

}  // namespace amend::kernels::cpu
