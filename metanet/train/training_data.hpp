#pragma once

#include "metanet/data/population.hpp"
#include "metanet/train/editor_data.hpp"
#include "metanet/train/probe_cache.hpp"
#include "metanet/train/row_sampler.hpp"
#include "metanet/train/trained_editor.hpp"

namespace amend {

/// What the training of an editor has of one dataset: its rows, its networks and their first probes.
struct TrainingData {
  /// In memory of `fixed`, which outlives this, as the population does. Throws InputError when a split of the
  /// population is empty, a network does not fit, or half of the rows have none of a group and label.
  TrainingData(const TrainedEditor& trained, const Population& population, const Dataset& dataset,
               const RandomStream& first_probe, Arena& fixed, Stream stream);

  EditorData data;
  RowSampler probe_rows, loss_rows;  // of editor_train; with training.split_rows of its halves
  RowSampler validation_rows;
  int train_count;  // the first networks of the cache are for training, the others for validation
  ProbeCache cache;
};

}  // namespace amend
