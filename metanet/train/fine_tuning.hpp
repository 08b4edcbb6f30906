#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/device.hpp"
#include "metanet/data/dataset.hpp"
#include "metanet/data/subject_network.hpp"
#include "metanet/model/requirement.hpp"

namespace amend {

/// What fine-tuning pulls a network towards.
enum class FineTuningTarget : std::uint8_t {
  original,  // the predictions of the network it came from: Jensen-Shannon divergence
  labels,    // the labels of the rows: cross-entropy
};

/// How networks are trained further. Nothing is shared between them but the rows of a step.
struct FineTuning {
  FineTuningTarget target = FineTuningTarget::original;
  std::uint64_t seed = 1;
  std::int64_t steps = 0;   // of AdamW; the learning rate falls along a cosine
  std::int64_t rows = 128;  // a step, drawn with replacement
  double learning_rate = 3e-3;
  double final_learning_rate = 0.05;  // share of learning_rate at the end
  double weight_decay = 0.0;          // of weights, not of biases
  std::vector<double> row_weight;     // (rows of the data): probability of a row, up to a factor; empty: uniform
  // Objectives on groups beside the target, each times its lambda; the rows for them are drawn cell by cell.
  Requirements requirements;
  std::vector<std::string> sensitive;  // attributes whose intersection forms the groups; needed with requirements
  std::int64_t cell_rows = 128;        // of every (label, group) a step
};

/// Steps that show a network about `epochs` times as many rows as there are.
std::int64_t steps_of(double epochs, std::int64_t rows, std::int64_t rows_per_step);

/// Trains `networks` further on `rows` (of `dataset`), many at a time. Weights that are zero stay exactly zero: what
/// was pruned stays pruned and an unused feature unused. `original[n]` is what the target of `networks[n]` answers
/// like; it is not read for labels. lambda: (networks, requirements) row-major. The result has the same bits alone and
/// in any company, on any number of threads. Throws InputError when rows or groups are missing, Error when sizes
/// disagree or a network stops being finite (the learning rate is too high).
std::vector<SubjectNetwork> fine_tune(std::span<const SubjectNetwork* const> networks,
                                      std::span<const SubjectNetwork* const> original, const Dataset& dataset,
                                      const Rows& rows, const FineTuning& tuning, std::span<const double> lambda = {},
                                      Device device = {});

}  // namespace amend
