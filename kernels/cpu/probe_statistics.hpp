#pragma once

// The statistics of the probe: means, mean squares and correlations of every neuron, two passes over the rows.

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/cpu/first_layer.hpp"
#include "kernels/cpu/logit_tile.hpp"
#include "kernels/cpu/subject_tile.hpp"
#include "kernels/probe.hpp"
#include "kernels/subject_math.hpp"

namespace amend::kernels::cpu {

static_assert(kSubjectRows <= kMomentRows);

/// Scratch slots of the statistics. Those of the input are kept from call to call: nobody else may use them.
enum class StatisticSlot { sums = 10, mean, margin, centred_margin, input = 30, squares, centred };

template <class T>
T* scratch(StatisticSlot slot, std::int64_t count) {
  return scratch<T>(static_cast<int>(slot), count);
}

/// Of the columns of x over the statistic rows; the same for all networks. Scratch memory of the calling thread.
template <class T>
struct InputStatistics {
  std::int64_t rows = 0;
  const T* mean;      // (inputs)
  const T* square;    // (inputs): mean of x^2
  const T* variance;  // (inputs)
  const T* base;      // (inputs): mean^2 of a column that is 0 in half of the rows or more, 0 of others
  const T* centred;   // (inputs, statistic_rows): x - mean
  std::optional<FirstLayerInput<T>> squares;  // (statistic_rows, inputs): (x - mean)^2 - base, so 0 where x is
};

/// sum[i] and square[i] over the rows of a (count, cols) matrix.
template <class T>
void column_moments(const T* x, std::int64_t count, std::int64_t cols, T* sum, T* square) {
  T* const sums[] = {sum, square};
  column_sums(
      count, cols, sums, [=](std::int64_t r, std::int64_t i, auto load, auto& to) __attribute__((always_inline)) {
        const auto value = load(x + r * cols + i);
        to[0] += value;
        to[1] += value * value;
      });
}

/// Mean over n rows of tile sums, `stride` apart, added in float64.
template <class T>
T mean_of_tiles(const T* partial, std::int64_t tiles, std::int64_t stride, std::int64_t n) {
  double sum = 0.0;
  for (std::int64_t t = 0; t < tiles; ++t) sum += static_cast<double>(partial[t * stride]);
  return static_cast<T>(sum / static_cast<double>(n));
}

/// Those of the last x_id are kept: editing networks one by one asks for them again and again.
template <class T>
const InputStatistics<T>& input_statistics(const Probe& a) {
  const std::int64_t inputs = a.x.extent(1), n = a.statistic_rows, tiles = subject_tiles(n);
  const T* x = a.x.as<T>();
  thread_local std::uint64_t kept_id = 0;
  thread_local InputStatistics<T> kept;
  if (a.x_id != 0 && kept_id == a.x_id && kept.rows == n) return kept;
  kept_id = 0;  // until all of it is new
  T* mean = scratch<T>(StatisticSlot::input, (4 + 3 * tiles) * inputs);
  T* square = mean + inputs;
  T* variance = square + inputs;
  T* base = variance + inputs;
  T* partial = base + inputs;               // (tiles, 2, inputs)
  T* zeros = partial + 2 * tiles * inputs;  // (tiles, inputs)
  T* squares = scratch<T>(StatisticSlot::squares, n * inputs);
  T* centred = scratch<T>(StatisticSlot::centred, n * inputs);
  const auto rows_of = [n](std::int64_t t) { return std::min(kSubjectRows, n - t * kSubjectRows); };
  parallel_for(tiles, [&](std::int64_t t) {
    T* sum = partial + 2 * t * inputs;
    const T* rows = x + t * kSubjectRows * inputs;
    column_moments(rows, rows_of(t), inputs, sum, sum + inputs);
    T* zero = zeros + t * inputs;
    std::fill_n(zero, inputs, T(0));
    for (std::int64_t r = 0; r < rows_of(t); ++r)
      for (std::int64_t j = 0; j < inputs; ++j) zero[j] += rows[r * inputs + j] == T(0) ? T(1) : T(0);
  });
  for (std::int64_t j = 0; j < inputs; ++j) {
    mean[j] = mean_of_tiles(partial + j, tiles, 2 * inputs, n);
    square[j] = mean_of_tiles(partial + inputs + j, tiles, 2 * inputs, n);
    base[j] = mean_of_tiles(zeros + j, tiles, inputs, n) < T(0.5) ? T(0) : mean[j] * mean[j];
  }
  parallel_for(tiles, [&](std::int64_t t) {
    T* sum = partial + 2 * t * inputs;
    std::fill_n(sum, inputs, T(0));
    const std::int64_t first = t * kSubjectRows, end = first + rows_of(t);
    for (std::int64_t r = first; r < end; ++r)
      for (std::int64_t j = 0; j < inputs; ++j) {
        const T d = x[r * inputs + j] - mean[j];
        squares[r * inputs + j] = x[r * inputs + j] == T(0) && base[j] != T(0) ? T(0) : d * d - base[j];
        sum[j] += d * d;
      }
    for (std::int64_t j = 0; j < inputs; ++j)
      for (std::int64_t r = first; r < end; ++r) centred[j * n + r] = x[r * inputs + j] - mean[j];
  });
  for (std::int64_t j = 0; j < inputs; ++j) variance[j] = mean_of_tiles(partial + j, tiles, 2 * inputs, n);
  kept = {.rows = n,
          .mean = mean,
          .square = square,
          .variance = variance,
          .base = base,
          .centred = centred,
          .squares = FirstLayerInput<T>(squares, n, inputs, FirstLayerSlot::squares, a.x_id != 0)};
  kept_id = a.x_id;
  return kept;
}

/// Calls `body(matrix, width, node_offset)` for the (count, width) tile of every hidden layer.
template <class T, class Body>
void for_hidden_layers(const Probe& a, const Network& network, std::int64_t first, const Body& body) {
  const Block* block = a.table.block + network.first_block;
  const HiddenLayers<T> activations(a.activation.as<T>(), a.table, network, a.x.extent(0), first);
  for (std::int32_t l = 0; l + 1 < network.block_count; ++l)
    body(activations.target(l), std::int64_t{block[l].rows}, block[l].target_offset);
}

/// Calls `body(column, node)` for the `count` logits of every class, side by side: few columns are slow as a matrix.
template <class T, class Body>
void for_logits(const Probe& a, const Network& network, std::int64_t first, std::int64_t count, const Body& body) {
  const std::int64_t rows = a.x.extent(0), classes = a.logits.extent(2), b = &network - a.table.network;
  const T* z = a.logits.as<T>() + (b * rows + first) * classes;
  const std::int64_t node = a.table.block[network.first_block + network.block_count - 1].target_offset;
  T column[kSubjectRows];
  for (std::int64_t c = 0; c < classes; ++c) {
    for (std::int64_t r = 0; r < count; ++r) column[r] = z[r * classes + c];
    body(static_cast<const T*>(column), node + c);
  }
}

/// Writes node_mean, node_rms and node_correlation where asked for; returns the means of all nodes in scratch memory.
template <class T>
const T* node_statistics(const Probe& a, const InputStatistics<T>& input) {
  const BlockTable& table = a.table;
  const std::int64_t n = a.statistic_rows, tiles = subject_tiles(n), nodes = table.node_count,
                     classes = a.logits.extent(2);
  const std::int64_t rows = a.x.extent(0), networks = table.network_count;
  T* sums = scratch<T>(StatisticSlot::sums, tiles * 2 * (nodes + networks));  // (tiles, 2, nodes + networks)
  T* mean = scratch<T>(StatisticSlot::mean, 2 * (nodes + networks));          // and mean squares; the margins come last
  T* square = mean + nodes + networks;
  T* margin = scratch<T>(StatisticSlot::margin, networks * n);
  const std::int64_t stride = 2 * (nodes + networks);
  for_subject_tiles(table, n, [&](const Network& network, std::int64_t t, std::int64_t first, std::int64_t count) {
    const std::int64_t b = &network - table.network;
    T* sum = sums + t * stride;
    T* sum_square = sum + nodes + networks;
    for_hidden_layers<T>(a, network, first, [&](const T* x, std::int64_t width, std::int64_t node) {
      column_moments(x, count, width, sum + node, sum_square + node);
    });
    const auto moments = [&](const T* x, std::int64_t node) {
      sum[node] = sum_of(x, count);
      sum_square[node] = dot(x, x, count);
    };
    for_logits<T>(a, network, first, count, moments);
    const T* z = a.logits.as<T>() + (b * rows + first) * classes;
    T* tile_margin = margin + b * n + first;
    for (std::int64_t r = 0; r < count; ++r) tile_margin[r] = margin_of(z + r * classes, classes);
    moments(tile_margin, nodes + b);
  });
  for (std::int64_t b = 0; b < networks; ++b) {
    const Network& network = table.network[b];
    std::copy_n(input.mean, network.inputs, mean + network.node_offset);
    std::copy_n(input.square, network.inputs, square + network.node_offset);
    const auto reduce = [&](std::int64_t node) {
      mean[node] = mean_of_tiles(sums + node, tiles, stride, n);
      square[node] = mean_of_tiles(sums + nodes + networks + node, tiles, stride, n);
    };
    for (std::int64_t node = network.inputs; node < network.node_count; ++node) reduce(network.node_offset + node);
    reduce(nodes + b);
  }
  if (a.node_mean) std::copy_n(mean, nodes, a.node_mean.as<T>());
  if (a.node_rms)
    for (std::int64_t node = 0; node < nodes; ++node) a.node_rms.as<T>()[node] = std::sqrt(square[node]);
  if (!a.node_correlation) return mean;

  // Second pass: sums are now variances, of the margins too, and covariances with the margin.
  for_subject_tiles(table, n, [&](const Network& network, std::int64_t t, std::int64_t first, std::int64_t count) {
    const std::int64_t b = &network - table.network;
    T* variance = sums + t * stride;
    T* covariance = variance + nodes + networks;
    T* centred_margin = scratch<T>(StatisticSlot::centred_margin, kSubjectRows);
    for (std::int64_t r = 0; r < count; ++r) centred_margin[r] = margin[b * n + first + r] - mean[nodes + b];
    variance[nodes + b] = dot(centred_margin, centred_margin, count);
    vector_functions().of<T>().dots({.rows = network.inputs,
                                     .columns = 1,
                                     .terms = count,
                                     .a = input.centred + first,
                                     .a_row = n,
                                     .w = centred_margin,
                                     .w_row = count,
                                     .bias = nullptr,
                                     .to = covariance + network.node_offset});
    for_logits<T>(a, network, first, count, [&](const T* z, std::int64_t node) {
      const T own = mean[node];
      variance[node] = lane_sum<T>(count, [=](std::int64_t r) { return (z[r] - own) * (z[r] - own); });
      covariance[node] = lane_sum<T>(count, [=](std::int64_t r) { return (z[r] - own) * centred_margin[r]; });
    });
    for_hidden_layers<T>(a, network, first, [&](const T* x, std::int64_t width, std::int64_t node) {
      const T* own = mean + node;
      T* const moments[] = {variance + node, covariance + node};
      column_sums(
          count, width,
          moments, [=](std::int64_t r, std::int64_t i, auto load, auto& to) __attribute__((always_inline)) {
            const auto d = load(x + r * width + i) - load(own + i);
            to[0] += d * d;
            to[1] += d * centred_margin[r];
          });
    });
  });
  T* result = a.node_correlation.as<T>();
  for (std::int64_t b = 0; b < networks; ++b) {
    const Network& network = table.network[b];
    const T margin_variance = mean_of_tiles(sums + nodes + b, tiles, stride, n);
    for (std::int64_t i = 0; i < network.node_count; ++i) {
      const std::int64_t node = network.node_offset + i;
      const T variance = i < network.inputs ? input.variance[i] : mean_of_tiles(sums + node, tiles, stride, n);
      const T covariance = mean_of_tiles(sums + nodes + networks + node, tiles, stride, n);
      result[node] = correlation(covariance, variance, square[node], margin_variance, square[nodes + b]);
    }
  }
  return mean;
}

}  // namespace amend::kernels::cpu
