// vector = matrix[:, column] and back. Bytes: 8 per row.
#include "kernels/column.hpp"

#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

void validate(const char* operation, const Column& a) {
  check(a.matrix.shape.rank() == 2 && a.column >= 0 && a.column < a.matrix.extent(1), operation, "column ", a.column,
        " is outside ", a.matrix.shape);
  expect(operation, "vector", a.vector, {a.matrix.extent(0)}, a.matrix.dtype);
}

}  // namespace

void read_column(const Column& args, Stream) {
  validate("read_column", args);
  dispatch_float("read_column", args.matrix.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t row = 0; row < args.matrix.extent(0); ++row)
      args.vector.as<T>()[row] = args.matrix.as<T>()[row * args.matrix.extent(1) + args.column];
  });
}

void write_column(const Column& args, Stream) {
  validate("write_column", args);
  dispatch_float("write_column", args.matrix.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t row = 0; row < args.matrix.extent(0); ++row)
      args.matrix.as<T>()[row * args.matrix.extent(1) + args.column] = args.vector.as<T>()[row];
  });
}

}  // namespace amend::kernels::cpu
