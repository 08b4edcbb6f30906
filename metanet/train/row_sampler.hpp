#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/arena.hpp"
#include "engine/random.hpp"
#include "metanet/data/dataset.hpp"
#include "metanet/model/requirement.hpp"

namespace amend {

/// Draws the data rows of training steps and probes.
class RowSampler {
 public:
  /// `attributes`: the sensitive attributes whose intersection forms the groups; none: no groups. Keeps references to
  /// nothing. Throws InputError when a group has no row of some label: its rates cannot be estimated.
  RowSampler(const Dataset& dataset, const Rows& rows, const std::vector<std::string>& attributes);

  /// `random_rows` rows drawn with replacement and `cell_rows` of every cell, in memory of `arena`. The same stream
  /// gives the same rows. dtype: of x.
  RowBatch draw(Arena& arena, std::int64_t random_rows, std::int64_t cell_rows, const RandomStream& stream,
                DType dtype) const;

  int groups() const { return groups_; }
  std::int64_t rows() const { return static_cast<std::int64_t>(input_.size()) / inputs_; }

 private:
  std::int64_t inputs_;
  std::vector<float> input_;
  int groups_ = 0;
  std::vector<std::vector<std::int32_t>> cell_;  // (label * groups + group) -> its rows
  std::vector<double> label_share_;              // (label * groups + group): P(label | group)
};

}  // namespace amend
