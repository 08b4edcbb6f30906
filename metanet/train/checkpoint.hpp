#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor.hpp"

namespace amend {

/// The state of an editor's training between two steps, on disk a safetensors file.
struct TrainingState {
  std::string config, dataset, networks;  // what it belongs to: the configuration's text, two fingerprints
  std::int64_t step = 0;
  std::int64_t best_step = -1;  // of the best validation; -1: there was none yet
  double best_score = 0.0;
  std::vector<std::pair<std::string, TensorView>> tensors;  // (parameters) float32 each
};

void save_checkpoint(const TrainingState& state, const std::filesystem::path& file);

/// Reads the numbers of a checkpoint into `state` and its tensors; `steps` is the length of the training and
/// `first_validation` the step of its first one. Throws InputError when the file is damaged, contradicts itself or
/// belongs to another configuration, dataset or population.
void load_checkpoint(const std::filesystem::path& file, std::int64_t steps, std::int64_t first_validation,
                     TrainingState& state);

}  // namespace amend
