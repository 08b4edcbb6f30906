// s = sigmoid((z_1 - z_0) / temperature); rates[b, c] = mean of s over the rows of cell c.
// d rates / d z_1 = -d rates / d z_0 = s (1 - s) / (temperature * rows of the cell).
// Bytes: 8 rows forward, 24 rows backward per network, and the cells. Operations: about 20 rows.
// What only the device can see: an empty cell, or a cell id that is out of range, gives NaN.
#include "kernels/group_rates.hpp"

#include "kernels/cuda/reduction.cuh"
#include "kernels/math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr const char* kGroupRates = "group_rates";

/// A block is a network and a cell. Rows of other cells cost the read of their id.
template <class T>
__global__ void __launch_bounds__(kThreads)
    rates_kernel(const T* logits, const std::int32_t* cell, std::int64_t rows, T scale, T* rates) {
  const std::int64_t network = blockIdx.x, own = blockIdx.y, cells = gridDim.y;
  double sum = 0, count = 0;
  for (std::int64_t r = threadIdx.x; r < rows; r += kThreads) {
    const std::int32_t c = cell[r];
    if (c < -1 || c >= cells) sum = not_a_number<double>();
    if (c != own) continue;
    const T* z = logits + (network * rows + r) * 2;
    sum += static_cast<double>(sigmoid((z[1] - z[0]) * scale));
    count += 1;
  }
  sum = block_sum(sum);
  count = block_sum(count);
  if (threadIdx.x == 0) rates[network * cells + own] = static_cast<T>(sum / count);
}

template <class T>
void forward(const GroupRates& a, Stream stream) {
  dim3 grid = grid_of(a.logits.extent(0));
  grid.y = static_cast<unsigned>(a.cells);
  launch(rates_kernel<T>, grid, dim3(kThreads), 0, stream, a.logits.as<T>(), a.cell.as<std::int32_t>(),
         a.logits.extent(1), static_cast<T>(1.0 / a.temperature), a.rates.as<T>());
}

/// count[c] = rows of cell c, a block a cell.
__global__ void __launch_bounds__(kThreads) count_kernel(const std::int32_t* cell, std::int64_t rows, double* count) {
  double own = 0;
  for (std::int64_t r = threadIdx.x; r < rows; r += kThreads) own += cell[r] == static_cast<std::int32_t>(blockIdx.x);
  own = block_sum(own);
  if (threadIdx.x == 0) count[blockIdx.x] = own;
}

template <class T>
void backward(const GroupRatesGradient& g, Stream stream) {
  const GroupRates& a = g.forward;
  const std::int64_t rows = a.logits.extent(1), cells = a.cells;
  const std::int32_t* cell = a.cell.as<std::int32_t>();
  double* count = workspace<double>(stream, cells);
  launch(count_kernel, grid_of(cells), dim3(kThreads), 0, stream, cell, rows, count);
  const T *logits = a.logits.as<T>(), *grad_rates = g.grad_rates.as<T>();
  T* grad_logits = g.grad_logits.as<T>();
  const double temperature = a.temperature;
  const T scale = static_cast<T>(1.0 / temperature);
  for_elements(a.logits.extent(0) * rows, stream, [=] __device__(std::int64_t i) {
    const std::int64_t b = i / rows, c = cell[i - b * rows];
    if (c == -1) return;
    const T s = sigmoid((logits[2 * i + 1] - logits[2 * i]) * scale);
    const T share =
        c < 0 || c >= cells ? not_a_number<T>() : grad_rates[b * cells + c] / static_cast<T>(temperature * count[c]);
    const T d = share * s * (T(1) - s);
    grad_logits[2 * i] -= d;
    grad_logits[2 * i + 1] += d;
  });
}

void validate(const GroupRates& a) {
  check(a.logits.shape.rank() == 3, kGroupRates, "expected `logits` of rank 3, got shape ", a.logits.shape);
  check(a.logits.extent(2) == 2, kGroupRates, "rates are defined for two classes, the networks have ",
        a.logits.extent(2));
  check(a.temperature > 0.0, kGroupRates, "expected a positive temperature, got ", a.temperature);
  check(a.cells > 0 && a.cells <= 65535, kGroupRates, "expected 1 .. 65535 cells, got ", a.cells);
  expect(kGroupRates, "cell", a.cell, {a.logits.extent(1)}, DType::int32);
  expect(kGroupRates, "rates", a.rates, {a.logits.extent(0), a.cells}, a.logits.dtype);
}

}  // namespace

void group_rates_forward(const GroupRates& args, Stream stream) {
  validate(args);
  dispatch_float(kGroupRates, args.logits.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void group_rates_backward(const GroupRatesGradient& args, Stream stream) {
  validate(args.forward);
  expect(kGroupRates, "grad_rates", args.grad_rates, args.forward.rates.shape, args.forward.logits.dtype);
  expect(kGroupRates, "grad_logits", args.grad_logits, args.forward.logits.shape, args.forward.logits.dtype);
  dispatch_float(kGroupRates, args.forward.logits.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
