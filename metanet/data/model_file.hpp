#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "metanet/data/safetensors.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// A user's own model: one safetensors file with PyTorch's names, `<layer>.weight` (outputs, inputs) and `<layer>.bias`
/// for every layer (`0.weight`, `fc1.weight`, `net.0.bias`, ...), in F32, F64, F16 or BF16.
///
/// Supported are multi-layer perceptrons of linear layers that all have a bias, with one activation between them and at
/// least two outputs, one logit per class. A binary classifier with a single output z must be given the equal two
/// outputs [0, z] first: a row of zeros above the last weight and a zero before the last bias.
struct ModelFile {
  SubjectNetwork network;                // name and run: the file's name without extension
  SafetensorsFile original;              // as it was read, with the bytes it had
  std::vector<std::string> layer_names;  // from inputs to outputs
};

/// The YAML file beside a model that describes it where there is one: `model.yaml` of `model.safetensors`.
std::filesystem::path description_beside(std::filesystem::path file);

/// Reads a model. The order of its layers and its activation come from, first that has it:
///   1. the argument `activation`;
///   2. the YAML file `description`, else `model.yaml` next to `model.safetensors` where there is one:
///        layers: [fc1, fc2, out]
///        activation: relu
///   3. the file's metadata: `amend.layers` (comma separated) and `amend.activation`;
///   4. the order only: names that differ in their numbers are in the order of these numbers, each layer's inputs are
///      the outputs of the one before; taken when exactly one order satisfies both. The activation is never guessed.
/// Throws InputError that names file and tensor and, when order or activation is missing, shows the YAML to write.
ModelFile load_model_file(const std::filesystem::path& file,
                          const std::optional<std::filesystem::path>& description = std::nullopt,
                          std::optional<Activation> activation = std::nullopt);

/// Writes `edited` in the form of `original`: the same tensors, names, order, dtypes and metadata. Numbers that the
/// edit did not change keep their bytes. The metadata get `amend.layers` and `amend.activation`, so that the output
/// needs no YAML, and `metadata`, whose keys begin with `amend.`; what an earlier edit left there is kept below
/// `amend.before.`. Throws Error when `edited` has other widths,
/// InputError when a number is beyond the range of its tensor's dtype or the file cannot be written.
void save_model_file(const std::filesystem::path& file, const ModelFile& original, const SubjectNetwork& edited,
                     const std::map<std::string, std::string>& metadata = {});

}  // namespace amend
