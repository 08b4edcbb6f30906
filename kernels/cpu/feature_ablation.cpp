// pre_1 = x W_1^T + b_1 once; for every feature f: pre_1 - deviation_f W_1f^T, the other layers, the row's divergence from
// the logits. Bytes: 4 rows (inputs + classes) a network; layers of a row tile stay in the cache. Operations per network
// and row: 2 (edges of the first block) twice over, and 2 (edges of the others) + 30 classes for every feature.
#include "kernels/feature_ablation.hpp"

#include "kernels/cpu/row_divergence.hpp"
#include "kernels/cpu/subject_activation.hpp"
#include "kernels/cpu/subject_tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr const char* kName = "feature_ablation";

void validate(const FeatureAblation& a) {
  const DType dtype = a.x.dtype;
  check(a.x.shape.rank() == 2, kName, "expected `x` of rank 2, got shape ", to_string(a.x.shape));
  check(a.deviation.shape.rank() == 2, kName, "expected `deviation` of rank 2, got shape ",
        to_string(a.deviation.shape));
  check(a.feature_offset.data != nullptr && a.feature_offset.count() >= 1, kName, "`feature_offset` is missing");
  const std::int64_t rows = a.x.extent(0), inputs = a.x.extent(1), networks = a.table.network_count,
                     features = a.feature_offset.count() - 1, count = a.deviation.extent(1);
  check(count >= 1 && count <= rows, kName, "expected a deviation of 1 to ", rows, " rows, got ", count);
  expect(kName, "weight", a.weight, {a.table.edge_count}, dtype);
  expect(kName, "bias", a.bias, {a.table.node_count}, dtype);
  expect(kName, "deviation", a.deviation, {inputs, count}, dtype);
  expect(kName, "divergence", a.divergence, {networks, features}, dtype);
  if (networks > 0) {
    check(inputs == a.table.network[0].inputs, kName, "expected `x` of ", a.table.network[0].inputs, " columns, got ",
          inputs);
    expect(kName, "logits", a.logits, {networks, rows, a.table.network[0].outputs}, dtype);
  }
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  for (std::int64_t f = 0; f < features; ++f)
    check(offset[f] >= 0 && offset[f] <= offset[f + 1] && offset[f + 1] <= inputs, kName, "feature ", f,
          " has columns ", offset[f], " .. ", offset[f + 1], " of ", inputs);
}

/// Whether any weight of the block reads columns [begin, end).
template <class T>
bool reads(const Block& block, const T* weight, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = 0; i < block.rows; ++i)
    for (std::int64_t j = begin; j < end; ++j)
      if (weight[i * block.cols + j] != T(0)) return true;
  return false;
}

template <class T>
void run(const FeatureAblation& a) {
  const BlockTable& table = a.table;
  const std::int64_t rows = a.x.extent(0), inputs = a.x.extent(1), features = a.feature_offset.count() - 1,
                     count = a.deviation.extent(1), tiles = subject_tiles(count), widest = widest_layer(table),
                     values = table.network_count * features;
  const T *weight = a.weight.as<T>(), *bias = a.bias.as<T>(), *deviation = a.deviation.as<T>();
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  T* partial = scratch<T>(0, tiles * values);
  for_subject_tiles(table, count, [&](const Network& network, std::int64_t t, std::int64_t first, std::int64_t n) {
    const std::int64_t b = &network - table.network, classes = network.outputs;
    const Block* block = table.block + network.first_block;
    const T* logits = a.logits.as<T>() + (b * rows + first) * classes;
    T* base = scratch<T>(1, kSubjectRows * widest);
    T* layer[] = {scratch<T>(2, kSubjectRows * widest), scratch<T>(3, kSubjectRows * widest)};
    T* divergence = scratch<T>(4, kSubjectRows + 2 * classes);
    const auto product = [&](std::int64_t l, const T* source, T* y) {
      const std::int64_t in = block[l].cols, out = block[l].rows;
      for (std::int64_t r = 0; r < n; ++r) std::copy_n(bias + block[l].target_offset, out, y + r * out);
      gemm(Trans::no, Trans::yes, n, out, in, T(1), source, in, weight + block[l].edge_offset, in, T(1), y, out);
    };
    product(0, a.x.as<T>() + first * inputs, base);
    for (std::int64_t f = 0; f < features; ++f) {
      T* sum = partial + t * values + b * features + f;
      const std::int64_t begin = offset[f], columns = offset[f + 1] - begin, out = block[0].rows;
      const T* own = weight + block[0].edge_offset;
      *sum = T(0);
      if (!reads(block[0], own, begin, begin + columns)) continue;
      T* y = layer[0];
      std::copy_n(base, n * out, y);
      gemm(Trans::yes, Trans::yes, n, out, columns, T(-1), deviation + begin * count + first, count, own + begin, inputs,
           T(1), y, out);
      for (std::int32_t l = 1; l < network.block_count; ++l) {
        activate<T>(network.activation, n * block[l].cols, y, nullptr);
        T* next = layer[l % 2];
        product(l, y, next);
        y = next;
      }
      row_divergence(logits, y, n, classes, divergence + kSubjectRows, divergence);
      *sum = sum_of(divergence, n);
    }
  });
  T* result = a.divergence.as<T>();
  for (std::int64_t i = 0; i < values; ++i) {
    double sum = 0.0;
    for (std::int64_t t = 0; t < tiles; ++t) sum += static_cast<double>(partial[t * values + i]);
    result[i] = static_cast<T>(sum / static_cast<double>(count));
  }
}

}  // namespace

void feature_ablation(const FeatureAblation& args, Stream) {
  validate(args);
  dispatch_float(kName, args.x.dtype, [&](auto zero) { run<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
