#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "metanet/model/editor.hpp"
#include "metanet/train/scalarisation.hpp"

namespace amend {

/// The range of weights an editor is trained for; `strength` 0 .. 1 runs through it logarithmically.
struct LambdaRange {
  double low = 0.0, high = 0.0;

  /// low^(1 - s) high^s; 0 (off) for a strength of 0.
  double at_strength(double strength) const;
  friend bool operator==(const LambdaRange&, const LambdaRange&) = default;
};

/// What a precision may be called.
inline const std::vector<std::string> kPrecisions = {"float32", "tf32", "bf16"};
/// The precision of one of these names.
kernels::Precision parse_precision(const std::string& name);

/// The name of `edits` in a configuration.
std::string to_string(Edits edits);

/// Weights that an editor can be trained for: beyond them a loss is lost in the rounding of the other terms.
inline constexpr double kLeastLambda = 1e-9, kMostLambda = 1e3;

/// How an editor is trained; `docs/training.md` describes the keys of the file.
struct EditorConfig {
  std::filesystem::path file;
  std::string text;  // the document, kept with the editor

  EditorShape shape;  // sizes of the dataset are filled in by the trainer
  EditorGates gates;
  std::vector<LambdaRange> lambda;  // per requirement of the shape; {0, 0}: the requirement's default
  std::vector<std::string>
      sensitive;  // attributes whose intersection forms the groups; empty: the first of the dataset

  std::uint64_t seed = 1;
  std::int64_t steps = 4000;
  int networks = 0;               // most training networks; 0: all
  int batch = 16;                 // networks a step
  std::int64_t rows = 512;        // data rows a step
  std::int64_t cell_rows = 256;   // of every (label, group), when a requirement looks at groups
  std::int64_t probe_rows = 512;  // of the probe in a training step's refinement passes
  std::int64_t probe_cell_rows = 128;
  std::int64_t edit_probe_rows = 1000;  // of the first probe, and of all probes when editing
  std::int64_t edit_probe_cell_rows = 400;
  double learning_rate = 5e-3;
  double final_learning_rate = 0.02;  // share of learning_rate at the end of the cosine
  std::int64_t warmup = 100;
  double weight_decay = 1e-4;
  double clip = 1.0;
  double average = 0.99;   // decay of the weights' moving average
  double deep_loss = 0.3;  // weight of the loss after the earlier passes
  double barrier = 0.1;    // times lambda
  double balance = 0.5;    // a network's loss is weighted by lambda^-balance
  double off = 0.25;       // probability that a requirement is off, when there are several
  Scalarisation scalarisation = Scalarisation::linear;
  bool split_rows = false;  // probes read one half of the rows, the loss the other
  int validations = 8;      // how often the average is measured on the validation networks
  std::int64_t validation_rows = 2000;
};

/// Reads and validates a configuration. Throws InputError that names file and key; the names of requirements are
/// checked by the caller, who knows them.
EditorConfig load_editor_config(const std::filesystem::path& file);
/// The same from text; `name` stands for the file.
EditorConfig parse_editor_config(const std::string& text, const std::string& name);

}  // namespace amend
