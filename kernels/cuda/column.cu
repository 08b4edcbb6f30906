// vector = matrix[:, column] and back. Bytes: 8 per row.
#include "kernels/column.hpp"

#include "kernels/cuda/launch.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

void validate(const char* operation, const Column& a) {
  check(a.matrix.shape.rank() == 2 && a.column >= 0 && a.column < a.matrix.extent(1), operation, "column ", a.column,
        " is outside ", a.matrix.shape);
  expect(operation, "vector", a.vector, {a.matrix.extent(0)}, a.matrix.dtype);
}

template <class T>
void read(const Column& a, Stream stream) {
  const T* matrix = a.matrix.as<T>() + a.column;
  T* vector = a.vector.as<T>();
  const std::int64_t columns = a.matrix.extent(1);
  for_elements(a.vector.count(), stream, [=] __device__(std::int64_t row) { vector[row] = matrix[row * columns]; });
}

template <class T>
void write(const Column& a, Stream stream) {
  T* matrix = a.matrix.as<T>() + a.column;
  const T* vector = a.vector.as<T>();
  const std::int64_t columns = a.matrix.extent(1);
  for_elements(a.vector.count(), stream, [=] __device__(std::int64_t row) { matrix[row * columns] = vector[row]; });
}

}  // namespace

void read_column(const Column& args, Stream stream) {
  validate("read_column", args);
  dispatch_float("read_column", args.matrix.dtype, [&](auto zero) { read<decltype(zero)>(args, stream); });
}

void write_column(const Column& args, Stream stream) {
  validate("write_column", args);
  dispatch_float("write_column", args.matrix.dtype, [&](auto zero) { write<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
