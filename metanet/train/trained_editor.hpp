#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/model/editor.hpp"
#include "metanet/train/editor_config.hpp"
#include "metanet/train/kept_curve.hpp"

namespace amend {

/// A dataset that an editor was trained on.
struct EditorDataset {
  std::string name;
  std::filesystem::path source;  // the description, as `recorded_path` gives it
  std::string fingerprint;
};

/// A trained editor with all that an edit needs but data: on disk one safetensors file, a tensor per parameter, with
/// the configuration and where it comes from in the metadata. It holds no rows of the dataset: an edit reads them from
/// the description again.
struct TrainedEditor {
  std::unique_ptr<Editor> editor;
  EditorConfig config;                     // lambda ranges filled in
  std::vector<EditorDataset> datasets;     // one, or several when the editor transfers
  std::vector<std::string> feature_names;  // of the dataset; none when the editor transfers
  std::vector<KeptCurve> kept;             // per requirement; none when it transfers, and in files of before
  nlohmann::json provenance;               // an object: population, steps, best validation score, version

  /// From now on edits probe networks on `rows` random rows, and on as many times more or fewer of every (label,
  /// group): fewer make edits faster and less good. For batch editors that are made afterwards.
  void probe_with(std::int64_t rows);

  /// Index of a requirement by name. Throws InputError that begins with `where` and lists what the editor knows.
  int requirement(const std::string& name, const std::string& where) const;

  /// Whether it edits networks on any dataset with its number of classes: nothing it learned belongs to an input.
  bool transfers() const { return !config.shape.input_embedding; }
  /// The sensitive attributes that it goes by on `dataset`: those of its configuration, of an editor that transfers
  /// those of them that the dataset has, or where it has none the dataset's first if a requirement reads groups.
  std::vector<std::string> sensitive_on(const Dataset& dataset) const;
  /// The same for whoever needs groups only where a requirement reads them: none otherwise.
  std::vector<std::string> groups_on(const Dataset& dataset) const;
  /// The names of `datasets`, for people.
  std::string dataset_names() const;
};

/// Turns the names in a shape into requirements; metanet does not know them, the caller does.
using RequirementFactory = Requirements (*)(const std::vector<std::string>& names, const std::string& where);

/// An untrained editor for `datasets`: sizes from the dataset, default lambda ranges and, for a single one, sensitive
/// attributes filled in. Throws InputError when there are several and the editor has an input embedding, or their
/// numbers of classes differ.
TrainedEditor make_editor(const EditorConfig& config, std::span<const Dataset* const> datasets,
                          RequirementFactory factory, DType dtype, Device device);
/// The same for one.
TrainedEditor make_editor(const EditorConfig& config, const Dataset& dataset, RequirementFactory factory, DType dtype,
                          Device device);

void save_editor(const TrainedEditor& trained, const std::filesystem::path& file);

/// Throws InputError unless `dataset` is what the editor was made for: fingerprint, features, inputs, classes and
/// sensitive attributes; of an editor that transfers classes alone, and some sensitive attribute if it needs one.
void expect_dataset(const TrainedEditor& trained, const Dataset& dataset);

/// Throws InputError that names the file and what is wrong with it.
TrainedEditor load_editor(const std::filesystem::path& file, RequirementFactory factory, Device device);

}  // namespace amend
