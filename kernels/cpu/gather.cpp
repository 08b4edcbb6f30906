// y[i] = x[index[i]]; y[:, offset[s] + k] = x[:, first[s] + k]. Bytes: 8 an element (12 into float64) and 4 a row.
#include "kernels/gather.hpp"

#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
void gather(const GatherRows& a) {
  const std::int64_t rows = a.x.extent(0), width = a.x.extent(1);
  const float* x = a.x.as<float>();
  const std::int32_t* index = a.index.as<std::int32_t>();
  T* y = a.y.as<T>();
  for (std::int64_t i = 0; i < a.index.count(); ++i) {
    if (index[i] < 0 || index[i] >= rows)
      fail("gather_rows", "index ", index[i], " of row ", i, " is outside ", to_string(a.x.shape));
    std::copy_n(x + index[i] * width, width, y + i * width);
  }
}

template <class T>
void gather(const GatherSegments& a) {
  const std::int64_t planes = a.x.extent(0), all = a.x.extent(1), rows = a.y.extent(1);
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  for (std::int32_t s = 0; s < a.segments.count; ++s) {
    const std::int64_t begin = a.segments.offset[s], count = a.segments.offset[s + 1] - begin;
    if (a.first[s] < 0 || a.first[s] + count > all)
      fail("gather_segments", "segment ", s, " reads ", a.first[s], " to ", a.first[s] + count, " of ",
           to_string(a.x.shape));
    for (std::int64_t p = 0; p < planes; ++p) std::copy_n(x + p * all + a.first[s], count, y + p * rows + begin);
  }
}

}  // namespace

void gather_rows(const GatherRows& args, Stream) {
  constexpr const char* kName = "gather_rows";
  check(args.x.shape.rank() == 2, kName, "expected `x` of rank 2, got ", args.x.shape);
  expect(kName, "x", args.x, args.x.shape, DType::float32);
  expect(kName, "index", args.index, {args.index.count()}, DType::int32);
  expect(kName, "y", args.y, {args.index.count(), args.x.extent(1)}, args.y.dtype);
  dispatch_float(kName, args.y.dtype, [&](auto zero) { gather<decltype(zero)>(args); });
}

void gather_segments(const GatherSegments& args, Stream) {
  constexpr const char* kName = "gather_segments";
  check(args.x.shape.rank() == 2 && args.y.shape.rank() == 2, kName, "expected `x` and `y` of rank 2, got ",
        args.x.shape, " and ", args.y.shape);
  expect(kName, "y", args.y, {args.x.extent(0), args.y.extent(1)}, args.x.dtype);
  check(args.segments.rows() == args.y.extent(1), kName, "segments cover ", args.segments.rows(), " rows of ",
        args.y.extent(1));
  dispatch_float(kName, args.x.dtype, [&](auto zero) { gather<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
