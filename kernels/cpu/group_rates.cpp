// s = sigmoid((z_1 - z_0) / temperature); rates[b, c] = mean of s over the rows of cell c.
// d rates / d z_1 = -d rates / d z_0 = s (1 - s) / (temperature * rows of the cell).
// Bytes: 8 rows forward, 24 rows backward per network. Operations: about 20 rows.
#include "kernels/group_rates.hpp"

#include "kernels/cpu/logit_tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr const char* kName = "group_rates";

/// Checks the arguments; returns the number of rows of every cell, in scratch memory.
const std::int64_t* validate(const GroupRates& a) {
  check(a.logits.shape.rank() == 3, kName, "expected `logits` of rank 3, got shape ", a.logits.shape);
  check(a.logits.extent(2) == 2, kName, "rates are defined for two classes, the networks have ", a.logits.extent(2));
  check(a.temperature > 0.0, kName, "expected a positive temperature, got ", a.temperature);
  check(a.cells > 0, kName, "expected at least one cell, got ", a.cells);
  const std::int64_t rows = a.logits.extent(1);
  expect(kName, "cell", a.cell, {rows}, DType::int32);
  expect(kName, "rates", a.rates, {a.logits.extent(0), a.cells}, a.logits.dtype);
  std::int64_t* count = scratch<std::int64_t>(0, a.cells);
  std::fill_n(count, a.cells, 0);
  const std::int32_t* cell = a.cell.as<std::int32_t>();
  for (std::int64_t r = 0; r < rows; ++r) {
    check(cell[r] >= -1 && cell[r] < a.cells, kName, "row ", r, " has cell ", cell[r], ", expected -1 .. ",
          a.cells - 1);
    if (cell[r] >= 0) ++count[cell[r]];
  }
  for (int c = 0; c < a.cells; ++c)
    check(count[c] > 0, kName, "cell ", c, " of ", a.cells, " has no rows: its rate is undefined");
  return count;
}

template <class T>
void tile_sigmoid(const T* z, std::int64_t count, T scale, T* s) {
  for (std::int64_t r = 0; r < count; ++r) s[r] = sigmoid((z[2 * r + 1] - z[2 * r]) * scale);
}

template <class T>
void forward(const GroupRates& a, const std::int64_t* cell_rows) {
  const std::int64_t networks = a.logits.extent(0), rows = a.logits.extent(1), tiles = logit_tiles(rows);
  const T* logits = a.logits.as<T>();
  const std::int32_t* cell = a.cell.as<std::int32_t>();
  T* rates = a.rates.as<T>();
  // float64 sums: the scattered additions are scalar anyway.
  double* partial = scratch<double>(1, networks * tiles * a.cells);
  for_logit_tiles(networks, rows, [&](std::int64_t b, std::int64_t t, std::int64_t first, std::int64_t count) {
    T* s = scratch<T>(2, kLogitRows);
    tile_sigmoid(logits + (b * rows + first) * 2, count, static_cast<T>(1.0 / a.temperature), s);
    double* sum = partial + (b * tiles + t) * a.cells;
    std::fill_n(sum, a.cells, 0.0);
    for (std::int64_t r = 0; r < count; ++r)
      if (const std::int32_t c = cell[first + r]; c >= 0) sum[c] += double{s[r]};
  });
  for (std::int64_t b = 0; b < networks; ++b)
    for (int c = 0; c < a.cells; ++c) {
      double sum = 0.0;
      for (std::int64_t t = 0; t < tiles; ++t) sum += partial[(b * tiles + t) * a.cells + c];
      rates[b * a.cells + c] = static_cast<T>(sum / static_cast<double>(cell_rows[c]));
    }
}

template <class T>
void backward(const GroupRatesGradient& g, const std::int64_t* cell_rows) {
  const GroupRates& a = g.forward;
  const std::int64_t rows = a.logits.extent(1);
  const T* logits = a.logits.as<T>();
  const std::int32_t* cell = a.cell.as<std::int32_t>();
  const T* grad_rates = g.grad_rates.as<T>();
  T* grad_logits = g.grad_logits.as<T>();
  for_logit_tiles(a.logits.extent(0), rows, [&](std::int64_t b, std::int64_t, std::int64_t first, std::int64_t count) {
    T* s = scratch<T>(2, kLogitRows);
    T* share = scratch<T>(3, a.cells + 1);  // gradient a row of each cell receives; entry 0 is for rows of no cell
    share[0] = T(0);
    for (int c = 0; c < a.cells; ++c)
      share[c + 1] = grad_rates[b * a.cells + c] / static_cast<T>(a.temperature * static_cast<double>(cell_rows[c]));
    tile_sigmoid(logits + (b * rows + first) * 2, count, static_cast<T>(1.0 / a.temperature), s);
    T* grad = grad_logits + (b * rows + first) * 2;
    for (std::int64_t r = 0; r < count; ++r) {
      const T d = share[cell[first + r] + 1] * s[r] * (T(1) - s[r]);
      grad[2 * r] -= d;
      grad[2 * r + 1] += d;
    }
  });
}

}  // namespace

void group_rates_forward(const GroupRates& args, Stream) {
  const std::int64_t* cell_rows = validate(args);
  dispatch_float(kName, args.logits.dtype, [&](auto zero) { forward<decltype(zero)>(args, cell_rows); });
}

void group_rates_backward(const GroupRatesGradient& args, Stream) {
  const std::int64_t* cell_rows = validate(args.forward);
  expect(kName, "grad_rates", args.grad_rates, args.forward.rates.shape, args.forward.logits.dtype);
  expect(kName, "grad_logits", args.grad_logits, args.forward.logits.shape, args.forward.logits.dtype);
  dispatch_float(kName, args.forward.logits.dtype, [&](auto zero) { backward<decltype(zero)>(args, cell_rows); });
}

}  // namespace amend::kernels::cpu
