// pre_1 = x W_1^T + b_1 once; for every feature f: pre_1 - deviation_f W_1f^T, or, closed, pre_1 + residual_f V_1f^T
// with V = closed_weight, residual_f = deviation_f - beta_f deviation; the other layers; the row's divergence from the
// logits. Bytes: 4 rows (2 inputs + classes) a network; layers of a row tile stay in the cache. Operations per network
// and row: 2 (edges of the first block) twice over, the first time without the zeros of x, 2 (edges of the others) + 30
// classes for every feature, 2 inputs for every input of a closed one.
#include "kernels/feature_ablation.hpp"

#include "kernels/cpu/first_layer.hpp"
#include "kernels/cpu/row_divergence.hpp"
#include "kernels/cpu/subject_activation.hpp"
#include "kernels/cpu/subject_tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr const char* kName = "feature_ablation";

void validate(const FeatureAblation& a) {
  const DType dtype = a.x.dtype;
  if (a.x.shape.rank() != 2) fail(kName, "expected `x` of rank 2, got shape ", to_string(a.x.shape));
  if (a.deviation.shape.rank() != 2)
    fail(kName, "expected `deviation` of rank 2, got shape ", to_string(a.deviation.shape));
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
  if (a.feature_gate) {
    expect(kName, "feature_gate", a.feature_gate, {networks, features}, dtype);
    expect(kName, "closed_weight", a.closed_weight, {a.table.edge_count}, dtype);
    expect(kName, "beta", a.beta, {networks, inputs, inputs}, dtype);
  }
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  for (std::int64_t f = 0; f < features; ++f)
    check(offset[f] >= 0 && offset[f] <= offset[f + 1] && offset[f + 1] <= inputs, kName, "feature ", f,
          " has columns ", offset[f], " .. ", offset[f + 1], " of ", inputs);
}

/// A row tile of one network. Layers are (neurons, rows) matrices: vectors are full however few neurons a layer has,
/// and all of one feature's stay in the first-level cache. Behind the first, a layer begins with a row of ones and its
/// weights with a column of biases, so that a sum has the terms of subject_forward in its order: nothing changed is 0.
template <class T>
class Ablation {
 public:
  Ablation(const FeatureAblation& a, const FirstLayerInput<T>& input, const Network& network, std::int64_t first,
           std::int64_t rows)
      : a_(a),
        input_(input),
        network_(network),
        block_(a.table.block + network.first_block),
        index_(&network - a.table.network),
        first_(first),
        rows_(rows),
        count_(a.deviation.extent(1)),
        inputs_(a.x.extent(1)) {}

  /// sum[f] = sum over the tile's rows of the divergence with feature f changed.
  void run(T* sum) const {
    const std::int64_t classes = network_.outputs, size = block_[0].rows * rows_, widest = widest_layer(a_.table),
                       features = a_.feature_offset.count() - 1;
    const T* logits = a_.logits.as<T>() + (index_ * a_.x.extent(0) + first_) * classes;
    const T* gate = a_.feature_gate ? a_.feature_gate.as<T>() + index_ * features : nullptr;
    const T *pre = first_pre(), *weights = biased_weights();
    T *layers = scratch<T>(2, 2 * (1 + widest) * rows_), *other = layers + (1 + widest) * rows_,
      *changed = scratch<T>(3, rows_ * classes), *divergence = scratch<T>(4, rows_ + 2 * classes);
    std::fill_n(layers, rows_, T(1));
    std::fill_n(other, rows_, T(1));
    for (std::int64_t f = 0; f < features; ++f) {
      std::copy_n(pre, size, layers + rows_);
      if (gate && !(gate[f] > T(0.5)))
        restore(f, layers + rows_);
      else
        take_away(f, layers + rows_);
      const T* z = finish(weights, layers, other);
      for (std::int64_t r = 0; r < rows_; ++r)
        for (std::int64_t c = 0; c < classes; ++c) changed[r * classes + c] = z[c * rows_ + r];
      row_divergence(logits, changed, rows_, classes, divergence + rows_, divergence);
      sum[f] = sum_of(divergence, rows_);
    }
  }

 private:
  /// What enters the first activation, (neurons, rows).
  const T* first_pre() const {
    const std::int64_t out = block_[0].rows;
    T *rows = scratch<T>(5, rows_ * out), *pre = scratch<T>(1, out * rows_);
    first_layer(input_.tile(index_, first_, rows_), rows_, out, inputs_, a_.weight.as<T>() + block_[0].edge_offset,
                a_.bias.as<T>() + block_[0].target_offset, rows);
    for (std::int64_t i = 0; i < out; ++i)
      for (std::int64_t r = 0; r < rows_; ++r) pre[i * rows_ + r] = rows[r * out + i];
    return pre;
  }

  /// y (out, rows) += scale * weight_f (values of the feature's inputs, (columns, rows), ld apart)
  void add_inputs(std::int64_t f, const TensorView& weight, T scale, const T* values, std::int64_t ld, T* y) const {
    const std::int32_t* offset = a_.feature_offset.as<std::int32_t>();
    gemm(Trans::no, Trans::no, block_[0].rows, rows_, offset[f + 1] - offset[f], scale,
         weight.as<T>() + block_[0].edge_offset + offset[f], inputs_, values, ld, T(1), y, rows_);
  }

  void take_away(std::int64_t f, T* y) const {
    const std::int64_t begin = a_.feature_offset.as<std::int32_t>()[f];
    add_inputs(f, a_.weight, T(-1), a_.deviation.as<T>() + begin * count_ + first_, count_, y);
  }

  void restore(std::int64_t f, T* y) const {
    const std::int32_t* offset = a_.feature_offset.as<std::int32_t>();
    const std::int64_t begin = offset[f], columns = offset[f + 1] - begin;
    const T* deviation = a_.deviation.as<T>() + first_;
    T* residual = scratch<T>(5, rows_ * inputs_);  // (columns, rows)
    for (std::int64_t c = 0; c < columns; ++c)
      std::copy_n(deviation + (begin + c) * count_, rows_, residual + c * rows_);
    gemm(Trans::no, Trans::no, columns, rows_, inputs_, T(-1), a_.beta.as<T>() + (index_ * inputs_ + begin) * inputs_,
         inputs_, deviation, count_, T(1), residual, rows_);
    add_inputs(f, a_.closed_weight, T(1), residual, rows_, y);
  }

  /// Of the layers behind the first one after the other, (neurons, 1 + neurons below): the biases, then the weights.
  const T* biased_weights() const {
    std::int64_t count = 0;
    for (std::int32_t l = 1; l < network_.block_count; ++l) count += block_[l].rows * (1 + block_[l].cols);
    T *weights = scratch<T>(6, count), *to = weights;
    for (std::int32_t l = 1; l < network_.block_count; ++l) {
      const T *bias = a_.bias.as<T>() + block_[l].target_offset, *from = a_.weight.as<T>() + block_[l].edge_offset;
      for (std::int32_t i = 0; i < block_[l].rows; ++i, from += block_[l].cols) {
        *to++ = bias[i];
        to = std::copy_n(from, block_[l].cols, to);
      }
    }
    return weights;
  }

  /// The logits (classes, rows) for what enters the first activation, below the ones of y.
  const T* finish(const T* weights, T* y, T* other) const {
    for (std::int32_t l = 1; l < network_.block_count; ++l) {
      const std::int64_t in = block_[l].cols, out = block_[l].rows;
      activate<T>(network_.activation, in * rows_, y + rows_, nullptr);
      gemm(Trans::no, Trans::no, out, rows_, 1 + in, T(1), weights, 1 + in, y, rows_, T(0), other + rows_, rows_);
      weights += out * (1 + in);
      std::swap(y, other);
    }
    return y + rows_;
  }

  const FeatureAblation& a_;
  const FirstLayerInput<T>& input_;
  const Network& network_;
  const Block* block_;
  std::int64_t index_, first_, rows_, count_, inputs_;
};

template <class T>
void run(const FeatureAblation& a) {
  // Rows of a task: the layers of a feature fit the first-level cache together, the deviations the second.
  constexpr std::int64_t kRows = 64;
  const std::int64_t features = a.feature_offset.count() - 1, count = a.deviation.extent(1),
                     tiles = (count + kRows - 1) / kRows, values = a.table.network_count * features;
  T* partial = scratch<T>(0, tiles * values);
  const auto input = first_layer_input<T>(a.x, a.x_id, {});
  parallel_for(a.table.network_count * tiles, [&](std::int64_t task) {
    const std::int64_t b = task / tiles, t = task % tiles;
    Ablation<T>(a, input, a.table.network[b], t * kRows, std::min(kRows, count - t * kRows))
        .run(partial + t * values + b * features);
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

void feature_value(const FeatureValue& args, Stream) {
  check(args.gate.shape.rank() == 2, "feature_value", "expected `gate` of rank 2, got shape ", args.gate.shape);
  const std::int64_t networks = args.gate.extent(0), features = args.gate.extent(1);
  expect("feature_value", "divergence", args.divergence, {networks}, args.gate.dtype);
  if (args.coefficient) expect("feature_value", "coefficient", args.coefficient, {networks}, args.gate.dtype);
  expect("feature_value", "value", args.value, args.gate.shape, args.gate.dtype);
  dispatch_float("feature_value", args.gate.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *gate = args.gate.as<T>(), *divergence = args.divergence.as<T>();
    T* value = args.value.as<T>();
    for (std::int64_t i = 0; i < networks * features; ++i) {
      const std::int64_t n = i / features;
      const T saved = gate[i] > T(0.5) ? value[i] - divergence[n] : divergence[n] - value[i];
      value[i] = args.coefficient ? args.coefficient.as<T>()[n] * saved : saved;
    }
  });
}

}  // namespace amend::kernels::cpu
