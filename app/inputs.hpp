#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/model_file.hpp"
#include "metanet/data/population.hpp"

namespace amend {

/// What a path given by the user holds.
enum class InputKind { population, safetensors };

/// A folder is a population; a file must be a safetensors file by its name. Throws InputError otherwise.
InputKind kind_of(const std::filesystem::path& path);

/// How the layers of a user's own model are described when its file does not say; see load_model_file.
struct ModelDescription {
  std::string file;        // `--model`; empty: none
  std::string activation;  // `--activation`; empty: none
};

ModelFile load_model(const std::filesystem::path& file, const ModelDescription& description);

/// The dataset that something was made with: who refers to it, and how.
struct DatasetReference {
  std::string owner;  // `editor.safetensors`
  std::string name;
  std::filesystem::path source;
  std::string fingerprint;  // empty: unknown, any will do
};

/// Loads the description `given` with `--data`, else the one recorded; where that is not there, the one with its
/// fingerprint that `moved_paths` finds near the owner. Throws InputError when there is none, and when what is loaded
/// has another fingerprint.
Dataset load_referenced_dataset(const std::string& given, const DatasetReference& reference);

/// Throws InputError when `file` exists and may not be replaced, or cannot be written.
void check_output_file(const std::filesystem::path& file, bool force);

/// Throws InputError about `--out` when writing `output` would replace one of `inputs`, files that the command reads; a
/// folder stands for all that is in it. Empty paths are none.
void check_not_read(const std::filesystem::path& output, const std::vector<std::filesystem::path>& inputs);

/// Throws InputError about `--out` unless `file` ends in .safetensors: under another name no command would read it.
void check_safetensors_name(const std::filesystem::path& file);

/// The same as check_output_file for a folder that a population will be written to; another kind of folder is never
/// replaced.
void check_output_population(const std::filesystem::path& folder, bool force);

/// SHA-256 of a file's bytes.
std::string file_checksum(const std::filesystem::path& file);

/// `train`, `validation`, `test`, or nothing for `all`. Throws InputError beginning with `--split`.
std::optional<PopulationSplit> parse_population_split(const std::string& text);

}  // namespace amend
