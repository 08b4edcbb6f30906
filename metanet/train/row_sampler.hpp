#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/arena.hpp"
#include "engine/random.hpp"
#include "metanet/data/dataset.hpp"
#include "metanet/model/requirement.hpp"

namespace amend {

/// Rows that have been drawn and lie in a dataset still.
struct RowDraw {
  RowBatch batch;         // all but x
  TensorView index;       // (rows) int32
  TensorView host_index;  // the same in host memory
};

/// Draws the data rows of training steps and probes. The dataset's rows stay on the device.
class RowSampler {
 public:
  /// `attributes`: the sensitive attributes whose intersection forms the groups; none: no groups. Keeps references to
  /// nothing. `stream`: of the device that the rows are drawn on. Throws InputError when a group has no row of some
  /// label: its rates cannot be estimated.
  RowSampler(const Dataset& dataset, const Rows& rows, const std::vector<std::string>& attributes, Stream stream = {});

  /// From now on random rows are drawn with probabilities proportional to `weight` (rows), not uniformly; the rows of
  /// cells stay uniform. Throws Error unless weights are finite, none negative, some positive.
  void weigh(std::span<const double> weight);

  /// Draws `random_rows` rows with replacement and `cell_rows` of every cell; what says which is staged in `arena`. The
  /// same random numbers give the same rows. dtype: of the batch.
  RowDraw plan(Arena& arena, std::int64_t random_rows, std::int64_t cell_rows, const RandomStream& random,
               DType dtype) const;
  /// The rows of a draw that has been uploaded, in memory of `arena`.
  RowBatch gather(const RowDraw& draw, Arena& arena, Stream stream) const;
  /// Both, and the upload.
  RowBatch draw(Arena& arena, std::int64_t random_rows, std::int64_t cell_rows, const RandomStream& random, DType dtype,
                Stream stream = {}) const;

  int groups() const { return groups_; }
  std::int64_t rows() const { return input_.view().extent(0); }

 private:
  Tensor input_;  // (rows, inputs) float32
  int groups_ = 0;
  std::vector<double> cumulative_;               // (rows) of the weights, ending in 1; empty: uniform
  std::vector<std::vector<std::int32_t>> cell_;  // (label * groups + group) -> its rows
  std::vector<double> label_share_;              // (label * groups + group): P(label | group)
};

}  // namespace amend
