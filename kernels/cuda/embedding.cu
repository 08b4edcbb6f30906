// y = x + table[index]. Bytes: 12 per element forward. Operations: one addition.
// An index that is outside the table, which only the device can see, gives NaN.
#include "kernels/embedding.hpp"

#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
void forward(const EmbeddingAdd& a, Stream stream) {
  const std::int64_t width = a.x.extent(1), entries = a.table.extent(0);
  const T *x = a.x.as<T>(), *table = a.table.as<T>();
  const std::int32_t* index = a.index.as<std::int32_t>();
  T* y = a.y.as<T>();
  for_elements(a.x.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t row = i / width, entry = index[row];
    const T term = entry >= 0 && entry < entries ? table[entry * width + (i - row * width)] : T(0);
    y[i] = entry >= -1 && entry < entries ? x[i] + term : not_a_number<T>();
  });
}

constexpr std::int64_t kRows = 1024;

/// partial[chunk, entry, column] = sum of grad_y over the rows of the chunk that take this entry. A block is a chunk
/// and an entry: tables have few entries, and rows that take another one cost the read of an index.
template <class T>
__global__ void __launch_bounds__(kThreads)
    table_partial(std::int64_t rows, std::int64_t width, const T* grad_y, const std::int32_t* index, T* partial) {
  const std::int64_t first = blockIdx.y * kRows, last = first + kRows < rows ? first + kRows : rows;
  const std::int64_t entry = blockIdx.x;
  for (std::int64_t i = threadIdx.x; i < width; i += kThreads) {
    T sum = T(0);
    for (std::int64_t row = first; row < last; ++row)
      if (index[row] == entry) sum += grad_y[row * width + i];
    partial[(blockIdx.y * static_cast<std::int64_t>(gridDim.x) + entry) * width + i] = sum;
  }
}

template <class T>
void backward(const EmbeddingAddGradient& g, Stream stream) {
  const std::int64_t rows = g.grad_y.extent(0), width = g.grad_y.extent(1);
  const T* grad_y = g.grad_y.as<T>();
  if (g.grad_x) {
    T* grad_x = g.grad_x.as<T>();
    for_elements(rows * width, stream, [=] __device__(std::int64_t i) { grad_x[i] += grad_y[i]; });
  }
  if (!g.grad_table || rows == 0) return;
  const std::int64_t entries = g.grad_table.extent(0), chunks = ceil_div(rows, kRows);
  T* partial = workspace<T>(stream, chunks * entries * width);
  // A grid has at most 65535 rows.
  check(chunks <= 65535, "embedding_add", "expected at most ", 65535 * kRows, " rows, got ", rows);
  dim3 grid = grid_of(entries);
  grid.y = static_cast<unsigned>(chunks);
  launch(table_partial<T>, grid, dim3(kThreads), 0, stream, rows, width, grad_y, g.forward.index.as<std::int32_t>(),
         partial);
  add_in_order(partial, chunks, entries * width, g.grad_table.as<T>(), stream);
}

}  // namespace

void embedding_add_forward(const EmbeddingAdd& args, Stream stream) {
  expect("embedding_add", "index", args.index, {args.x.extent(0)}, DType::int32);
  expect("embedding_add", "table", args.table, {args.table.extent(0), args.x.extent(1)}, args.x.dtype);
  expect("embedding_add", "y", args.y, args.x.shape, args.x.dtype);
  dispatch_float("embedding_add", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void embedding_add_backward(const EmbeddingAddGradient& args, Stream stream) {
  const EmbeddingAdd& a = args.forward;
  expect("embedding_add", "grad_y", args.grad_y, a.x.shape, a.x.dtype);
  if (args.grad_x) expect("embedding_add", "grad_x", args.grad_x, a.x.shape, a.x.dtype);
  if (args.grad_table) expect("embedding_add", "grad_table", args.grad_table, a.table.shape, a.x.dtype);
  dispatch_float("embedding_add", args.forward.x.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
