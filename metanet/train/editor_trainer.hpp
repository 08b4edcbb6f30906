#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "metanet/data/population.hpp"
#include "metanet/train/trained_editor.hpp"

namespace amend {

struct EditorTrainOptions {
  bool progress = false;             // a bar with the time left on stderr, where that is a terminal
  bool verbose = false;              // a line per validation on stderr
  std::filesystem::path checkpoint;  // written at every validation; empty: none
  bool resume = false;               // continue from the checkpoint, to the same bits as without interruption
  std::int64_t stop_after = 0;       // stop (with a checkpoint) after this many steps; 0: run to the end
  Device device;
};

/// What a validation saw, mean over validation networks and strengths.
struct EditorValidation {
  std::int64_t step = 0;
  double score = 0.0;  // mean over networks of lambda^-balance times the objective (`scalarise`), as in training
};

/// Trains an editor on the train networks of `population` and the editor_train rows of `dataset`, measures it on its
/// validation networks and validation rows, and returns the best moving average. Throws InputError when population and
/// dataset do not belong together or a split is empty, Error when a loss is not finite: it names the step and the term.
TrainedEditor train_editor(const EditorConfig& config, const Population& population, const Dataset& dataset,
                           RequirementFactory factory, const EditorTrainOptions& options);

}  // namespace amend
