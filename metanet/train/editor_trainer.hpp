#pragma once

#include <filesystem>
#include <functional>
#include <span>
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

/// A population to learn from and the dataset of its networks.
struct EditorSource {
  const Population* population;
  const Dataset* dataset;
};

/// Trains an editor on the train networks of populations and the editor_train rows of their datasets, a step on one of
/// them, in turn; measures it on their validation networks and validation rows, the mean over the sources; and returns
/// the best moving average. Throws InputError when population and dataset do not belong together, a split is empty or
/// several are given to an editor that does not transfer, Error when a loss is not finite: it names the step and the
/// term.
TrainedEditor train_editor(const EditorConfig& config, std::span<const EditorSource> sources,
                           RequirementFactory factory, const EditorTrainOptions& options);
/// The same on one.
TrainedEditor train_editor(const EditorConfig& config, const Population& population, const Dataset& dataset,
                           RequirementFactory factory, const EditorTrainOptions& options);

}  // namespace amend
