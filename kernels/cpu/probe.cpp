// sum_c p_c (d log p_c / d v)^2 = |S^T dz / dv|^2 with S S^T = diag(p) - p p^T: the columns of S, "seeds", are carried
// back like gradients of the logits. Two classes: one seed, sqrt(p_0 p_1) (-1, 1). More: seed c is sqrt(p_c) (e_c - p).
// With G = sum over seeds of delta^2, (rows, neurons): fisher = G^T (a - mu)^2 / rows, fisher_bias = column means of G.
// The squares of the centred input are formed once for all networks; where most of x is zero, as columns of a category
// are, without the zeros: x = 0 has mu^2, which every row of such a column gets, and the others what they differ by.
// Bytes: 4 rows (inputs + 4 hidden) per network, 4 edges per row tile of kSubjectRows rows for partial sums; the shared
// input stays in the cache. Operations per network and seed: 2 rows edges for the error signal and, for the saliency, 2
// rows edges of the first block; 2 rows edges for the products of squares; gradients as subject_backward, for each
// objective.
#include "kernels/probe.hpp"

#include <cmath>

#include "kernels/cpu/logit_tile.hpp"
#include "kernels/cpu/probe_statistics.hpp"
#include "kernels/cpu/subject_tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr const char* kName = "probe";

/// Scratch slots; those of the calling thread first.
enum Slot {
  kPartial = 20,  // of Fisher, then of gradients
  kPartialBias,
  kSaliency,
  kSquares,
  kSeed,
  kDelta,
  kSignal,
  kFeature
};

void validate(const Probe& a) {
  const BlockTable& table = a.table;
  const DType dtype = a.x.dtype;
  check(a.logits.shape.rank() == 3, kName, "expected `logits` of rank 3, got shape ", a.logits.shape);
  check(a.x.shape.rank() == 2, kName, "expected `x` of rank 2, got shape ", a.x.shape);
  const std::int64_t networks = table.network_count, rows = a.x.extent(0), classes = a.logits.extent(2);
  expect(kName, "logits", a.logits, {networks, rows, classes}, dtype);
  if (networks > 0) {
    expect(kName, "x", a.x, {rows, table.network[0].inputs}, dtype);
    check(classes == table.network[0].outputs && classes >= 2, kName, "expected two classes or more and logits of ",
          table.network[0].outputs, ", got ", classes);
  }
  check(a.statistic_rows >= 1 && a.statistic_rows <= rows, kName, "statistic_rows ", a.statistic_rows,
        " is not in 1 .. ", rows);
  expect(kName, "weight", a.weight, {table.edge_count}, dtype);
  expect(kName, "activation", a.activation, {table.hidden_count, rows}, dtype);
  expect(kName, "slope", a.slope, {table.hidden_count, rows}, dtype);
  if (a.fisher) expect(kName, "fisher", a.fisher, {table.edge_count}, dtype);
  const Shape nodes{table.node_count};
  if (a.fisher_bias) expect(kName, "fisher_bias", a.fisher_bias, nodes, dtype);
  if (a.node_mean) expect(kName, "node_mean", a.node_mean, nodes, dtype);
  if (a.node_rms) expect(kName, "node_rms", a.node_rms, nodes, dtype);
  if (a.node_correlation) expect(kName, "node_correlation", a.node_correlation, nodes, dtype);
  if (a.grad_logits) {
    check(a.grad_logits.shape.rank() == 4, kName, "expected `grad_logits` of rank 4, got shape ", a.grad_logits.shape);
    const std::int64_t objectives = a.grad_logits.extent(0);
    expect(kName, "grad_logits", a.grad_logits, {objectives, networks, rows, classes}, dtype);
    if (a.gradient) expect(kName, "gradient", a.gradient, {objectives, table.edge_count}, dtype);
    if (a.gradient_bias) expect(kName, "gradient_bias", a.gradient_bias, {objectives, table.node_count}, dtype);
  } else {
    check(!a.gradient && !a.gradient_bias, kName, "gradients need `grad_logits`");
  }
  if (!a.feature_saliency) return;
  check(a.feature_offset.data != nullptr && a.feature_offset.count() >= 1, kName, "`feature_offset` is missing");
  const std::int64_t features = a.feature_offset.count() - 1;
  expect(kName, "feature_saliency", a.feature_saliency, {networks, features}, dtype);
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  for (std::int64_t f = 0; f < features; ++f)
    check(offset[f] >= 0 && offset[f] <= offset[f + 1] && offset[f + 1] <= a.x.extent(1), kName, "feature ", f,
          " has columns ", offset[f], " .. ", offset[f + 1], " of ", a.x.extent(1));
}

/// target[i] = scale * sum over p < parts of partial[p * count + i], in the order of p.
template <class T>
void store_partials(const T* partial, std::int64_t parts, std::int64_t count, T scale, T* target) {
  constexpr std::int64_t kChunk = 4096;
  parallel_for((count + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t begin = chunk * kChunk, end = std::min(count, begin + kChunk);
    std::fill(target + begin, target + end, T(0));
    for (std::int64_t p = 0; p < parts; ++p)
      for (std::int64_t i = begin; i < end; ++i) target[i] += partial[p * count + i];
    for (std::int64_t i = begin; i < end; ++i) target[i] *= scale;
  });
}

/// Partial sums of one row tile; a null pointer is skipped.
template <class T>
struct TileSums {
  T* fisher;
  T* fisher_bias;
  T* saliency;
};

/// The part of the probe that needs seeds, over the statistic rows of one tile.
template <class T>
class TileFisher {
 public:
  TileFisher(const Probe& a, const InputStatistics<T>& input, const T* node_mean, const Network& network,
             std::int64_t first, std::int64_t count, TileSums<T> sums)
      : a_(a),
        input_(input),
        node_mean_(node_mean),
        network_(network),
        block_(a.table.block + network.first_block),
        node_begin_(network.node_offset + network.inputs),
        first_(first),
        count_(count),
        sums_(sums) {}

  void run() {
    const std::int64_t rows = a_.x.extent(0), classes = a_.logits.extent(2), b = &network_ - a_.table.network;
    const std::int64_t features = features_count(), widest = widest_layer(a_.table);
    const T* z = a_.logits.as<T>() + (b * rows + first_) * classes;
    const HiddenLayers<T> slopes(a_.slope.as<T>(), a_.table, network_, rows, first_);
    if (sums_.saliency) std::fill_n(sums_.saliency + b * features, features, T(0));
    T* seed = scratch<T>(kSeed, kSubjectRows * classes);
    T* buffer = scratch<T>(kDelta, 2 * kSubjectRows * widest);
    const std::int64_t seeds = classes == 2 ? 1 : classes;
    for (std::int64_t s = 0; s < seeds; ++s) {
      fill_seed(z, classes, s, seed);
      subject_tile_backward<T>(network_, block_, a_.weight.as<T>(), slopes, count_, seed, buffer, widest,
                               [&](std::int32_t l, const T* delta) {
                                 add_signal(l, delta, s == 0);
                                 if (l == 0 && sums_.saliency) add_saliency(delta);
                               });
    }
    reduce();
  }

 private:
  std::int64_t features_count() const { return a_.feature_saliency ? a_.feature_offset.count() - 1 : 0; }

  void fill_seed(const T* z, std::int64_t classes, std::int64_t which, T* seed) const {
    if (classes == 2) {
      for (std::int64_t r = 0; r < count_; ++r) {
        const TwoClasses<T> p(z[2 * r + 1] - z[2 * r]);
        // Root by root: the product of the two may lie below the smallest normal number.
        const T s = std::sqrt(p.first) * std::sqrt(p.second);
        seed[2 * r] = -s;
        seed[2 * r + 1] = s;
      }
      return;
    }
    for (std::int64_t r = 0; r < count_; ++r) {
      T* p = seed + r * classes;
      softmax(z + r * classes, classes, p);
      const T root = std::sqrt(p[which]);
      for (std::int64_t c = 0; c < classes; ++c) p[c] *= -root;
      p[which] += root;
    }
  }

  /// G of the neurons that block l produces, (count, block.rows).
  T* signal(std::int32_t l) const {
    return scratch<T>(kSignal, a_.table.max_nodes * kSubjectRows) +
           (block_[l].target_offset - node_begin_) * kSubjectRows;
  }

  void add_signal(std::int32_t l, const T* delta, bool first_seed) const {
    T* g = signal(l);
    const std::int64_t n = count_ * block_[l].rows;
    if (first_seed)
      for (std::int64_t i = 0; i < n; ++i) g[i] = delta[i] * delta[i];
    else
      for (std::int64_t i = 0; i < n; ++i) g[i] += delta[i] * delta[i];
  }

  /// The rows are innermost, so that columns of a feature add up in vectors.
  void add_saliency(const T* delta) const {
    const std::int64_t inputs = network_.inputs, out = block_[0].rows, features = features_count();
    T* grad_x = scratch<T>(kFeature, (inputs + 1) * kSubjectRows);  // (inputs, count)
    T* change = grad_x + inputs * kSubjectRows;                     // (count)
    gemm(Trans::yes, Trans::yes, inputs, count_, out, T(1), a_.weight.as<T>() + block_[0].edge_offset, inputs, delta,
         out, T(0), grad_x, count_);
    const std::int32_t* offset = a_.feature_offset.as<std::int32_t>();
    T* saliency = sums_.saliency + (&network_ - a_.table.network) * features;
    for (std::int64_t f = 0; f < features; ++f) {
      std::fill_n(change, count_, T(0));
      for (std::int64_t j = offset[f]; j < offset[f + 1]; ++j) {
        const T* centred = input_.centred + j * a_.statistic_rows + first_;
        for (std::int64_t r = 0; r < count_; ++r) change[r] += centred[r] * grad_x[j * count_ + r];
      }
      saliency[f] += dot(change, change, count_);
    }
  }

  void reduce() const {
    const std::int64_t rows = a_.x.extent(0);
    const HiddenLayers<T> activations(a_.activation.as<T>(), a_.table, network_, rows, first_);
    for (std::int32_t l = 0; l < network_.block_count; ++l) {
      const std::int64_t in = block_[l].cols, out = block_[l].rows;
      const T* g = signal(l);
      if (sums_.fisher_bias) column_sums(g, count_, out, sums_.fisher_bias + block_[l].target_offset);
      if (!sums_.fisher) continue;
      T* sum = sums_.fisher + block_[l].edge_offset;
      if (l == 0) {
        first_layer_gradient(input_.squares->tile(0, first_, count_), input_.base, count_, out, in, g, sum);
        for (std::int64_t i = 0; i < out * in; ++i)  // rounding may have taken more away than there was
          sum[i] = sum[i] < T(0) ? T(0) : sum[i];
        continue;
      }
      T* squares = scratch<T>(kSquares, kSubjectRows * widest_layer(a_.table));
      const T* source = activations.source(l);
      const T* mean = node_mean_ + block_[l].source_offset;
      for (std::int64_t r = 0; r < count_; ++r)
        for (std::int64_t j = 0; j < in; ++j) {
          const T centred = source[r * in + j] - mean[j];
          squares[r * in + j] = centred * centred;
        }
      gemm(Trans::yes, Trans::no, out, in, count_, T(1), g, out, squares, in, T(0), sum, in);
    }
    if (sums_.fisher_bias) std::fill_n(sums_.fisher_bias + network_.node_offset, network_.inputs, T(0));
  }

  const Probe& a_;
  const InputStatistics<T>& input_;
  const T* node_mean_;
  const Network& network_;
  const Block* block_;
  std::int64_t node_begin_, first_, count_;
  TileSums<T> sums_;
};

template <class T>
void fisher(const Probe& a, const InputStatistics<T>& input, const T* node_mean) {
  const BlockTable& table = a.table;
  const std::int64_t n = a.statistic_rows, tiles = subject_tiles(n), salient = a.feature_saliency.count();
  T* partial = a.fisher ? scratch<T>(kPartial, tiles * table.edge_count) : nullptr;
  T* partial_bias = a.fisher_bias ? scratch<T>(kPartialBias, tiles * table.node_count) : nullptr;
  T* partial_saliency = a.feature_saliency ? scratch<T>(kSaliency, tiles * salient) : nullptr;
  for_subject_tiles(table, n, [&](const Network& network, std::int64_t t, std::int64_t first, std::int64_t count) {
    const TileSums<T> sums{.fisher = partial ? partial + t * table.edge_count : nullptr,
                           .fisher_bias = partial_bias ? partial_bias + t * table.node_count : nullptr,
                           .saliency = partial_saliency ? partial_saliency + t * salient : nullptr};
    TileFisher<T>(a, input, node_mean, network, first, count, sums).run();
  });
  const T share = T(1) / static_cast<T>(n);
  if (partial) store_partials(partial, tiles, table.edge_count, share, a.fisher.as<T>());
  if (partial_bias) store_partials(partial_bias, tiles, table.node_count, share, a.fisher_bias.as<T>());
  if (partial_saliency) store_partials(partial_saliency, tiles, salient, share / T(8), a.feature_saliency.as<T>());
}

template <class T>
void gradients(const Probe& a) {
  const BlockTable& table = a.table;
  const std::int64_t objectives = a.grad_logits.extent(0), rows = a.x.extent(0), classes = a.logits.extent(2);
  const std::int64_t tiles = subject_tiles(rows), widest = widest_layer(table);
  const std::int64_t edges = objectives * table.edge_count, nodes = objectives * table.node_count;
  const T* grad_logits = a.grad_logits.as<T>();
  T* partial = a.gradient ? scratch<T>(kPartial, tiles * edges) : nullptr;
  T* partial_bias = a.gradient_bias ? scratch<T>(kPartialBias, tiles * nodes) : nullptr;
  const auto input = first_layer_input<T>(a.x, a.x_id, {});
  for_subject_tiles(table, rows, [&](const Network& network, std::int64_t t, std::int64_t first, std::int64_t count) {
    const std::int64_t b = &network - table.network;
    const Block* block = table.block + network.first_block;
    const HiddenLayers<T> activations(a.activation.as<T>(), table, network, rows, first);
    const HiddenLayers<T> slopes(a.slope.as<T>(), table, network, rows, first);
    for (std::int64_t o = 0; o < objectives; ++o) {
      T* tile = partial ? partial + t * edges + o * table.edge_count : nullptr;
      T* tile_bias = partial_bias ? partial_bias + t * nodes + o * table.node_count : nullptr;
      if (tile_bias) std::fill_n(tile_bias + network.node_offset, network.inputs, T(0));
      subject_tile_backward(
          network, block, a.weight.as<T>(), slopes, count,
          grad_logits + ((o * table.network_count + b) * rows + first) * classes,
          scratch<T>(kDelta, 2 * kSubjectRows * widest), widest, [&](std::int32_t l, const T* delta) {
            const std::int64_t in = block[l].cols, out = block[l].rows;
            if (tile_bias) column_sums(delta, count, out, tile_bias + block[l].target_offset);
            if (!tile) return;
            T* sum = tile + block[l].edge_offset;
            if (l == 0)
              first_layer_gradient<T>(input.tile(b, first, count), nullptr, count, out, in, delta, sum);
            else
              gemm(Trans::yes, Trans::no, out, in, count, T(1), delta, out, activations.source(l), in, T(0), sum, in);
          });
    }
  });
  if (partial) store_partials(partial, tiles, edges, T(1), a.gradient.as<T>());
  if (partial_bias) store_partials(partial_bias, tiles, nodes, T(1), a.gradient_bias.as<T>());
}

template <class T>
void run(const Probe& a) {
  if (a.table.network_count == 0) return;
  const bool seeds = a.fisher || a.fisher_bias || a.feature_saliency;
  if (seeds || a.node_mean || a.node_rms || a.node_correlation) {
    const InputStatistics<T>& input = input_statistics<T>(a);
    const T* node_mean = node_statistics(a, input);
    if (seeds) fisher(a, input, node_mean);
  }
  if (a.gradient || a.gradient_bias) gradients<T>(a);
}

}  // namespace

void probe(const Probe& args, Stream) {
  validate(args);
  dispatch_float(kName, args.x.dtype, [&](auto zero) { run<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
