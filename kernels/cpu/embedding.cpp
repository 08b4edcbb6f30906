// y = x + table[index]. Bytes: 12 per element forward. Operations: one addition.
#include "kernels/embedding.hpp"

#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr std::int64_t kRows = 512;

template <class T>
void forward(const EmbeddingAdd& a) {
  const std::int64_t rows = a.x.extent(0), width = a.x.extent(1);
  const T* x = a.x.as<T>();
  const T* table = a.table.as<T>();
  const std::int32_t* index = a.index.as<std::int32_t>();
  T* y = a.y.as<T>();
  parallel_for((rows + kRows - 1) / kRows, [&](std::int64_t chunk) {
    for (std::int64_t row = chunk * kRows; row < std::min(rows, (chunk + 1) * kRows); ++row) {
      const std::int32_t entry = index[row];
      check(entry >= -1 && entry < a.table.extent(0), "embedding_add", "index ", entry, " is outside ",
            a.table.extent(0), " entries");
      for (std::int64_t i = 0; i < width; ++i)
        y[row * width + i] = x[row * width + i] + (entry >= 0 ? table[entry * width + i] : T(0));
    }
  });
}

template <class T>
void backward(const EmbeddingAddGradient& g) {
  const std::int64_t rows = g.grad_y.extent(0), width = g.grad_y.extent(1);
  const T* grad_y = g.grad_y.as<T>();
  const std::int32_t* index = g.forward.index.as<std::int32_t>();
  if (g.grad_x) {
    T* grad_x = g.grad_x.as<T>();
    for (std::int64_t i = 0; i < rows * width; ++i) grad_x[i] += grad_y[i];
  }
  if (g.grad_table) {
    T* grad_table = g.grad_table.as<T>();
    for (std::int64_t row = 0; row < rows; ++row)
      if (index[row] >= 0)
        for (std::int64_t i = 0; i < width; ++i) grad_table[index[row] * width + i] += grad_y[row * width + i];
  }
}

}  // namespace

void embedding_add_forward(const EmbeddingAdd& args, Stream) {
  expect("embedding_add", "index", args.index, {args.x.extent(0)}, DType::int32);
  expect("embedding_add", "table", args.table, {args.table.extent(0), args.x.extent(1)}, args.x.dtype);
  expect("embedding_add", "y", args.y, args.x.shape, args.x.dtype);
  dispatch_float("embedding_add", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void embedding_add_backward(const EmbeddingAddGradient& args, Stream) {
  const EmbeddingAdd& a = args.forward;
  expect("embedding_add", "grad_y", args.grad_y, a.x.shape, a.x.dtype);
  if (args.grad_x) expect("embedding_add", "grad_x", args.grad_x, a.x.shape, a.x.dtype);
  if (args.grad_table) expect("embedding_add", "grad_table", args.grad_table, a.table.shape, a.x.dtype);
  dispatch_float("embedding_add", args.forward.x.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
