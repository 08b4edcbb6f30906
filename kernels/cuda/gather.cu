// y[i] = x[index[i]]; y[:, offset[s] + k] = x[:, first[s] + k]. Bytes: 8 an element (12 into float64) and 4 a row. A
// thread an element: neighbours read and write neighbours inside a row or a segment.
#include "kernels/gather.hpp"

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
void gather(const GatherRows& a, Stream stream) {
  const std::int64_t rows = a.x.extent(0), width = a.x.extent(1);
  const float* x = a.x.as<float>();
  const std::int32_t* index = a.index.as<std::int32_t>();
  T* y = a.y.as<T>();
  for_elements(a.y.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t row = index[i / width];
    y[i] = row >= 0 && row < rows ? static_cast<T>(x[row * width + i % width]) : not_a_number<T>();
  });
}

template <class T>
void gather(const GatherSegments& a, Stream stream) {
  const std::int64_t planes = a.x.extent(0), all = a.x.extent(1), rows = a.y.extent(1);
  const T* x = a.x.as<T>();
  const std::int64_t* first = a.first;
  const Segments segments = a.segments;
  T* y = a.y.as<T>();
  for_elements(rows, stream, [=] __device__(std::int64_t i) {
    const std::int32_t s = segment_of(segments, i);
    const std::int64_t from = first[s] + i - segments.offset[s];
    const bool inside = from >= 0 && from < all;
    for (std::int64_t p = 0; p < planes; ++p) y[p * rows + i] = inside ? x[p * all + from] : not_a_number<T>();
  });
}

}  // namespace

void gather_rows(const GatherRows& args, Stream stream) {
  constexpr const char* kName = "gather_rows";
  check(args.x.shape.rank() == 2, kName, "expected `x` of rank 2, got ", args.x.shape);
  expect(kName, "x", args.x, args.x.shape, DType::float32);
  expect(kName, "index", args.index, {args.index.count()}, DType::int32);
  expect(kName, "y", args.y, {args.index.count(), args.x.extent(1)}, args.y.dtype);
  dispatch_float(kName, args.y.dtype, [&](auto zero) { gather<decltype(zero)>(args, stream); });
}

void gather_segments(const GatherSegments& args, Stream stream) {
  constexpr const char* kName = "gather_segments";
  check(args.x.shape.rank() == 2 && args.y.shape.rank() == 2, kName, "expected `x` and `y` of rank 2, got ",
        args.x.shape, " and ", args.y.shape);
  expect(kName, "y", args.y, {args.x.extent(0), args.y.extent(1)}, args.x.dtype);
  dispatch_float(kName, args.x.dtype, [&](auto zero) { gather<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
