#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "metanet/data/subject_network.hpp"

namespace amend {

enum class PopulationSplit : std::uint8_t { train, validation, test };

std::string to_string(PopulationSplit split);

/// Trained networks with what is known of each. On disk a folder:
///   manifest.json         format, dataset (name, description path, fingerprint), and per network: name, run, split,
///                         widths, activation, and `training` (what it was trained with), plus `edit` after an edit
///   networks.safetensors  tensors `<name>.<layer>.weight` (outputs, inputs) and `<name>.<layer>.bias`, float32
struct Population {
  std::string dataset_name;
  std::filesystem::path dataset_source;  // the description, as `recorded_path` gives it
  std::string dataset_fingerprint;
  std::vector<SubjectNetwork> networks;
  std::vector<PopulationSplit> split;      // per network
  std::vector<nlohmann::json> attributes;  // per network: objects kept as they are (training settings, edits)
  nlohmann::json provenance;               // of the whole: config, seed, version, edits applied
};

/// Reads a population folder. Throws InputError naming file and key.
Population load_population(const std::filesystem::path& folder);

/// Writes into a new folder next to `folder` and renames it, so that a reader sees all of it or nothing. Throws
/// InputError when `folder` exists and is not an (overwritable) population, or cannot be written.
void save_population(const Population& population, const std::filesystem::path& folder);

/// Indices of the networks of one split.
std::vector<int> networks_of(const Population& population, PopulationSplit split);

}  // namespace amend
