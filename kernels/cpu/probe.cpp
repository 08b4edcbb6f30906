// sum_c p_c (d log p_c / d v)^2 = |S^T dz / dv|^2 with S S^T = diag(p) - p p^T: the columns of S, "seeds", are carried
// back like gradients of the logits. Two classes: one seed, sqrt(p_0 p_1) (-1, 1). More: seed c is sqrt(p_c) (e_c - p).
// With two classes (-1, 1) is carried back once and held against what a row has of it: the seed's root, and gradients
// of objectives where those of the two logits are opposite, as those of functions of the probabilities are. With G =
// sum over seeds of delta^2, (rows, neurons): fisher = G^T (a - mu)^2 / rows, fisher_bias = column means of G. The
// squares of the centred input are formed once for all networks; where most of x is zero, as columns of a category are,
// without the zeros: x = 0 has mu^2, which every row of such a column gets, and the others what they differ by. Bytes:
// 4 rows (inputs + 4 hidden) per network, 4 edges per row tile of kSubjectRows rows for partial sums; the shared input
// stays in the cache. Operations per network and seed: 2 rows edges for the error signal and, for the saliency, 2 rows
// edges of the first block; 2 rows edges for the products of squares; gradients as subject_backward, for each
// objective, but that two classes share one error signal.
#include "kernels/probe.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/cpu/logit_tile.hpp"
#include "kernels/cpu/probe_statistics.hpp"
#include "kernels/cpu/subject_tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr const char* kName = "probe";

/// Scratch slots; those of the calling thread first.
enum Slot {
  kFisher = 16,
  kFisherBias,
  kSaliency,
  kGradient,
  kGradientBias,
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

/// to[r, i] = map(r, from[r, i]), a vector of elements at a time.
template <class T, class Map>
void map_rows(std::int64_t rows, std::int64_t width, const T* from, T* to, const Map& map) {
  for (std::int64_t r = 0; r < rows; ++r, from += width, to += width)
    native_target::for_vectors<T, 0>(width, [&](std::int64_t i, auto lanes) {
      native_target::store(to + i, map(r, native_target::load(from + i, lanes)), lanes);
    });
}

/// A row tile of a network.
struct Tile {
  const Network& network;
  const Block* block;  // first of the network
  std::int64_t first, count;
};

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
  TileFisher(const Probe& a, const InputStatistics<T>& input, const T* node_mean, const Tile& tile, TileSums<T> sums)
      : a_(a),
        input_(input),
        node_mean_(node_mean),
        network_(tile.network),
        block_(tile.block),
        node_begin_(network_.node_offset + network_.inputs),
        first_(tile.first),
        count_(tile.count),
        sums_(sums) {
    if (sums_.saliency) std::fill_n(saliency(), features_count(), T(0));
  }

  /// Of two classes: `delta` is what (-1, 1) gives. Last block first.
  void add(std::int32_t l, const T* delta) {
    const std::int64_t width = block_[l].rows;
    T* g = signal(l);
    if (l + 1 == network_.block_count) {
      root_ = scratch<T>(kSeed, 3 * kSubjectRows) + 2 * kSubjectRows;
      const T* z = logits();
      for (std::int64_t r = 0; r < count_; ++r) {
        const TwoClasses<T> p(z[2 * r + 1] - z[2 * r]);
        // Root by root: the product of the two may lie below the smallest normal number.
        root_[r] = std::sqrt(p.first) * std::sqrt(p.second);
        g[2 * r] = g[2 * r + 1] = root_[r] * root_[r];
      }
    } else {
      map_rows(count_, width, delta, g, [this](std::int64_t r, auto x) { return (root_[r] * root_[r]) * (x * x); });
    }
    if (l == 0 && sums_.saliency) add_saliency(delta, root_);
  }

  /// Of more classes: carries every seed back.
  void add_seeds(std::int64_t classes) {
    const std::int64_t rows = a_.x.extent(0), widest = widest_layer(a_.table);
    const HiddenLayers<T> slopes(a_.slope.as<T>(), a_.table, network_, rows, first_);
    T* seed = scratch<T>(kSeed, kSubjectRows * classes);
    T* buffer = scratch<T>(kDelta, 2 * kSubjectRows * widest);
    for (std::int64_t s = 0; s < classes; ++s) {
      fill_seed(classes, s, seed);
      subject_tile_backward<T>(network_, block_, a_.weight.as<T>(), slopes, count_, seed, buffer, widest,
                               [&](std::int32_t l, const T* delta) {
                                 add_signal(l, delta, s == 0);
                                 if (l == 0 && sums_.saliency) add_saliency(delta, nullptr);
                               });
    }
  }

  /// The sums, of what was added.
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

 private:
  std::int64_t features_count() const { return a_.feature_saliency ? a_.feature_offset.count() - 1 : 0; }
  T* saliency() const { return sums_.saliency + (&network_ - a_.table.network) * features_count(); }
  const T* logits() const {
    return a_.logits.as<T>() + ((&network_ - a_.table.network) * a_.x.extent(0) + first_) * a_.logits.extent(2);
  }

  void fill_seed(std::int64_t classes, std::int64_t which, T* seed) const {
    const T* z = logits();
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

  /// Of the error signal `root` times delta, a root a row or null. The rows are innermost, so that columns of a feature
  /// add up in vectors.
  void add_saliency(const T* delta, const T* root) const {
    const std::int64_t inputs = network_.inputs, out = block_[0].rows, features = features_count();
    T* grad_x = scratch<T>(kFeature, (inputs + 1) * kSubjectRows);  // (inputs, count)
    T* change = grad_x + inputs * kSubjectRows;                     // (count)
    gemm(Trans::yes, Trans::yes, inputs, count_, out, T(1), a_.weight.as<T>() + block_[0].edge_offset, inputs, delta,
         out, T(0), grad_x, count_);
    const std::int32_t* offset = a_.feature_offset.as<std::int32_t>();
    for (std::int64_t f = 0; f < features; ++f) {
      std::fill_n(change, count_, T(0));
      for (std::int64_t j = offset[f]; j < offset[f + 1]; ++j) {
        const T* centred = input_.centred + j * a_.statistic_rows + first_;
        for (std::int64_t r = 0; r < count_; ++r) change[r] += centred[r] * grad_x[j * count_ + r];
      }
      if (root)
        for (std::int64_t r = 0; r < count_; ++r) change[r] *= root[r];
      saliency()[f] += dot(change, change, count_);
    }
  }

  const Probe& a_;
  const InputStatistics<T>& input_;
  const T* node_mean_;
  const Network& network_;
  const Block* block_;
  std::int64_t node_begin_, first_, count_;
  TileSums<T> sums_;
  T* root_ = nullptr;  // (count): of the seeds of two classes
};

/// The gradients of the objectives over the rows of one tile.
template <class T>
class TileGradient {
 public:
  /// Partial sums of the tile, one after the other for each objective; null: skipped.
  TileGradient(const Probe& a, const FirstLayerInput<T>& input, const Tile& tile, T* sum, T* sum_bias)
      : a_(a), input_(input), tile_(tile), sum_(sum), sum_bias_(sum_bias) {
    const std::int64_t inputs = tile.network.inputs;
    for (std::int64_t o = 0; sum_bias_ && o < objectives(); ++o)
      std::fill_n(sum_bias_ + o * a_.table.node_count + tile.network.node_offset, inputs, T(0));
  }

  /// Whether there are two classes and the gradients of every row are opposite.
  bool is_opposite() const {
    if (a_.logits.extent(2) != 2) return false;
    for (std::int64_t o = 0; o < objectives(); ++o) {
      const T* g = grad_logits(o);
      bool same = true;
      for (std::int64_t r = 0; r < tile_.count; ++r) same &= g[2 * r] == -g[2 * r + 1];
      if (!same) return false;
    }
    return true;
  }

  /// Of opposite gradients: `delta` is what (-1, 1) gives.
  void add(std::int32_t l, const T* delta) const {
    const std::int64_t width = tile_.block[l].rows;
    T* own = scratch<T>(kSquares, kSubjectRows * widest_layer(a_.table));
    for (std::int64_t o = 0; o < objectives(); ++o) {
      const T* g = grad_logits(o);
      if (l + 1 == tile_.network.block_count) {
        add_objective(o, l, g);
        continue;
      }
      map_rows(tile_.count, width, delta, own, [g](std::int64_t r, auto x) { return g[2 * r + 1] * x; });
      add_objective(o, l, own);
    }
  }

  /// Of any: carries them back one after the other.
  void add_each() const {
    const std::int64_t widest = widest_layer(a_.table);
    const HiddenLayers<T> slopes(a_.slope.as<T>(), a_.table, tile_.network, a_.x.extent(0), tile_.first);
    T* buffer = scratch<T>(kDelta, 2 * kSubjectRows * widest);
    for (std::int64_t o = 0; o < objectives(); ++o)
      subject_tile_backward<T>(tile_.network, tile_.block, a_.weight.as<T>(), slopes, tile_.count, grad_logits(o),
                               buffer, widest, [&](std::int32_t l, const T* delta) { add_objective(o, l, delta); });
  }

 private:
  std::int64_t objectives() const { return a_.grad_logits.extent(0); }
  const T* grad_logits(std::int64_t o) const {
    const std::int64_t b = &tile_.network - a_.table.network;
    return a_.grad_logits.as<T>() +
           ((o * a_.table.network_count + b) * a_.x.extent(0) + tile_.first) * a_.logits.extent(2);
  }

  void add_objective(std::int64_t o, std::int32_t l, const T* delta) const {
    const std::int64_t in = tile_.block[l].cols, out = tile_.block[l].rows, count = tile_.count;
    if (sum_bias_) column_sums(delta, count, out, sum_bias_ + o * a_.table.node_count + tile_.block[l].target_offset);
    if (!sum_) return;
    T* sum = sum_ + o * a_.table.edge_count + tile_.block[l].edge_offset;
    if (l == 0)
      return first_layer_gradient<T>(input_.tile(&tile_.network - a_.table.network, tile_.first, count), nullptr, count,
                                     out, in, delta, sum);
    const HiddenLayers<T> activations(a_.activation.as<T>(), a_.table, tile_.network, a_.x.extent(0), tile_.first);
    gemm(Trans::yes, Trans::no, out, in, count, T(1), delta, out, activations.source(l), in, T(0), sum, in);
  }

  const Probe& a_;
  const FirstLayerInput<T>& input_;
  const Tile& tile_;
  T *sum_, *sum_bias_;
};

/// Seeds, where there are statistics of the input, and gradients, where they are asked for.
template <class T>
void carry_back(const Probe& a, const InputStatistics<T>* statistics, const T* node_mean) {
  const BlockTable& table = a.table;
  const bool gradients = a.gradient || a.gradient_bias;
  const std::int64_t n = a.statistic_rows, rows = gradients ? a.x.extent(0) : n, classes = a.logits.extent(2);
  const std::int64_t tiles = subject_tiles(rows), seed_tiles = subject_tiles(n), salient = a.feature_saliency.count();
  const std::int64_t objectives = gradients ? a.grad_logits.extent(0) : 0, edges = objectives * table.edge_count,
                     nodes = objectives * table.node_count;
  T* fisher = a.fisher ? scratch<T>(kFisher, seed_tiles * table.edge_count) : nullptr;
  T* fisher_bias = a.fisher_bias ? scratch<T>(kFisherBias, seed_tiles * table.node_count) : nullptr;
  T* saliency = a.feature_saliency ? scratch<T>(kSaliency, seed_tiles * salient) : nullptr;
  T* gradient = a.gradient ? scratch<T>(kGradient, tiles * edges) : nullptr;
  T* gradient_bias = a.gradient_bias ? scratch<T>(kGradientBias, tiles * nodes) : nullptr;
  std::optional<FirstLayerInput<T>> input;
  if (gradients) input = first_layer_input<T>(a.x, a.x_id, {});
  for_subject_tiles(table, rows, [&](const Network& network, std::int64_t t, std::int64_t first, std::int64_t count) {
    const Tile all{network, table.block + network.first_block, first, count},
        salient_part{network, all.block, first, statistics ? std::clamp<std::int64_t>(n - first, 0, count) : 0};
    std::optional<TileFisher<T>> seeds;
    if (salient_part.count > 0)
      seeds.emplace(a, *statistics, node_mean, salient_part,
                    TileSums<T>{.fisher = fisher ? fisher + t * table.edge_count : nullptr,
                                .fisher_bias = fisher_bias ? fisher_bias + t * table.node_count : nullptr,
                                .saliency = saliency ? saliency + t * salient : nullptr});
    std::optional<TileGradient<T>> objective;
    if (gradients)
      objective.emplace(a, *input, all, gradient ? gradient + t * edges : nullptr,
                        gradient_bias ? gradient_bias + t * nodes : nullptr);
    const bool opposite = objective && objective->is_opposite();
    if ((seeds && classes == 2) || opposite) {
      const std::int64_t carried = opposite ? count : salient_part.count, widest = widest_layer(table);
      T* unit = scratch<T>(kSeed, 3 * kSubjectRows);
      for (std::int64_t r = 0; r < carried; ++r) unit[2 * r] = T(-1), unit[2 * r + 1] = T(1);
      const HiddenLayers<T> slopes(a.slope.as<T>(), table, network, a.x.extent(0), first);
      subject_tile_backward<T>(network, all.block, a.weight.as<T>(), slopes, carried, unit,
                               scratch<T>(kDelta, 2 * kSubjectRows * widest), widest,
                               [&](std::int32_t l, const T* delta) {
                                 if (seeds) seeds->add(l, delta);
                                 if (opposite) objective->add(l, delta);
                               });
    }
    if (seeds) {
      if (classes > 2) seeds->add_seeds(classes);
      seeds->reduce();
    }
    if (objective && !opposite) objective->add_each();
  });
  const T share = T(1) / static_cast<T>(n);
  if (fisher) store_partials(fisher, seed_tiles, table.edge_count, share, a.fisher.as<T>());
  if (fisher_bias) store_partials(fisher_bias, seed_tiles, table.node_count, share, a.fisher_bias.as<T>());
  if (saliency) store_partials(saliency, seed_tiles, salient, share / T(8), a.feature_saliency.as<T>());
  if (gradient) store_partials(gradient, tiles, edges, T(1), a.gradient.as<T>());
  if (gradient_bias) store_partials(gradient_bias, tiles, nodes, T(1), a.gradient_bias.as<T>());
}

template <class T>
void run(const Probe& a) {
  if (a.table.network_count == 0) return;
  const bool seeds = a.fisher || a.fisher_bias || a.feature_saliency;
  const InputStatistics<T>* statistics = nullptr;
  const T* node_mean = nullptr;
  if (seeds || a.node_mean || a.node_rms || a.node_correlation) {
    statistics = &input_statistics<T>(a);
    node_mean = node_statistics(a, *statistics);
  }
  if (seeds || a.gradient || a.gradient_bias) carry_back<T>(a, seeds ? statistics : nullptr, node_mean);
}

}  // namespace

void probe(const Probe& args, Stream) {
  validate(args);
  dispatch_float(kName, args.x.dtype, [&](auto zero) { run<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
