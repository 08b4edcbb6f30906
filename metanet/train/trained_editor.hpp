#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/model/editor.hpp"
#include "metanet/train/editor_config.hpp"
#include "metanet/train/kept_curve.hpp"

namespace amend {

/// A trained editor with all that an edit needs but data: on disk one safetensors file, a tensor per parameter, with
/// the configuration and where it comes from in the metadata. It holds no rows of the dataset: an edit reads them from
/// the description again.
struct TrainedEditor {
  std::unique_ptr<Editor> editor;
  EditorConfig config;  // lambda ranges filled in
  std::string dataset_name;
  std::filesystem::path dataset_source;  // the description, as `recorded_path` gives it
  std::string dataset_fingerprint;
  std::vector<std::string> feature_names;
  std::vector<KeptCurve> kept;  // per requirement; empty in files of before there were any
  nlohmann::json provenance;    // an object: population, steps, best validation score, version

  /// Index of a requirement by name. Throws InputError that begins with `where` and lists what the editor knows.
  int requirement(const std::string& name, const std::string& where) const;
};

/// Turns the names in a shape into requirements; metanet does not know them, the caller does.
using RequirementFactory = Requirements (*)(const std::vector<std::string>& names, const std::string& where);

/// An untrained editor for `dataset`: sizes from the dataset, default lambda ranges and sensitive attributes filled in.
TrainedEditor make_editor(const EditorConfig& config, const Dataset& dataset, RequirementFactory factory, DType dtype,
                          Device device);

void save_editor(const TrainedEditor& trained, const std::filesystem::path& file);

/// Throws InputError unless `dataset` is what the editor was made for: fingerprint, features, inputs, classes and
/// sensitive attributes.
void expect_dataset(const TrainedEditor& trained, const Dataset& dataset);

/// Throws InputError that names the file and what is wrong with it.
TrainedEditor load_editor(const std::filesystem::path& file, RequirementFactory factory, Device device);

}  // namespace amend
