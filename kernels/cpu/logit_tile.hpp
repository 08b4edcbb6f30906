#pragma once

// Row tiles of (networks, rows, classes) logits, and means over rows that do not depend on who computed them.

#include <limits>

#include "kernels/cpu/lane_sums.hpp"
#include "kernels/cpu/tile.hpp"
#include "kernels/softmax_math.hpp"

namespace amend::kernels::cpu {

inline constexpr std::int64_t kLogitRows = 512;

inline std::int64_t logit_tiles(std::int64_t rows) { return (rows + kLogitRows - 1) / kLogitRows; }

/// Calls `body(network, tile, first_row, row_count)` for every row tile of every network.
template <class Body>
void for_logit_tiles(std::int64_t networks, std::int64_t rows, const Body& body) {
  const std::int64_t tiles = logit_tiles(rows);
  parallel_for(networks * tiles, [&](std::int64_t task) {
    const std::int64_t tile = task % tiles, first = tile * kLogitRows;
    body(task / tiles, tile, first, std::min(kLogitRows, rows - first));
  });
}

/// mean[b] = mean over `rows` rows of what `tile_sum(network, first_row, row_count)` sums. Uses scratch slot 0.
template <class T, class Body>
void mean_over_rows(std::int64_t networks, std::int64_t rows, T* mean, const Body& tile_sum) {
  const std::int64_t tiles = logit_tiles(rows);
  T* partial = scratch<T>(0, networks * tiles);
  for_logit_tiles(networks, rows, [&](std::int64_t b, std::int64_t t, std::int64_t first, std::int64_t count) {
    partial[b * tiles + t] = tile_sum(b, first, count);
  });
  for (std::int64_t b = 0; b < networks; ++b) mean[b] = sum_of(partial + b * tiles, tiles) / static_cast<T>(rows);
}

/// probability = softmax(z); returns log(sum(exp(z - max))) + max - z[label].
template <class T>
T softmax(const T* z, std::int64_t classes, T* probability, std::int64_t label = 0) {
  T largest = z[0];
  for (std::int64_t c = 1; c < classes; ++c) largest = std::max(largest, z[c]);
  T sum = T(0);
  for (std::int64_t c = 0; c < classes; ++c) sum += probability[c] = exponential(z[c] - largest);
  for (std::int64_t c = 0; c < classes; ++c)
    probability[c] = std::max(probability[c] / sum, std::numeric_limits<T>::min());
  return surprise_of(sum, largest, z[label]);
}

}  // namespace amend::kernels::cpu
