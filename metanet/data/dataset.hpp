#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace amend {

enum class ColumnKind : std::uint8_t { numeric, categorical };

/// One column of the source table as a network sees it: one input when numeric (a second one when the description asks
/// for a missing indicator), one input per level when categorical (one-hot; all zero for a value that is no level).
/// Data minimisation counts these, not the inputs.
struct Feature {
  std::string name;
  ColumnKind kind = ColumnKind::numeric;
  int first_input = 0;
  int input_count = 1;
  std::vector<std::string> levels;  // categorical only, in input order
  double mean = 0;                  // numeric only: the input is (transformed value - mean) / scale, 0 where missing
  double scale = 1;
};

/// An attribute that fairness is measured over: sex, race, age above 25, ...
struct SensitiveAttribute {
  std::string name;
  std::vector<std::string> groups;  // group id -> name
};

/// The rows of one split. Row-major, all vectors of `count` rows.
struct Rows {
  std::int64_t count = 0;
  std::vector<float> input;                          // (count, inputs)
  std::vector<std::int32_t> label;                   // (count), 0 .. classes - 1
  std::vector<std::vector<std::int32_t>> sensitive;  // per attribute: (count), group id
};

/// A table ready for training: encoded, standardised with the statistics of subject_train, split by seed.
struct Dataset {
  std::string name;
  std::filesystem::path source;              // the description it was read from, as `recorded_path` gives it
  std::vector<std::filesystem::path> files;  // what was read: the description and the data
  std::string fingerprint;  // SHA-256 over description and data checksums: what a population or an editor refers to
  std::vector<Feature> features;
  int inputs = 0;   // encoded columns
  int classes = 2;  // positive class is 1 when there are two
  std::vector<std::string> class_names;
  std::vector<SensitiveAttribute> sensitive;
  Rows subject_train, editor_train, validation, audit;
};

/// Reads a dataset description (YAML) and the data it names. `synthetic: ...` descriptions need no file.
/// Throws InputError that names the file, the line or key, and what was expected.
Dataset load_dataset(const std::filesystem::path& description);

/// Group id of every row over the intersection of the named attributes (all of them when `attributes` is empty),
/// numbered 0 .. product of group counts - 1, the last attribute fastest. Throws InputError for an unknown name.
std::vector<std::int32_t> group_ids(const Dataset& dataset, const Rows& rows,
                                    const std::vector<std::string>& attributes);

/// Names that belong to the ids of `group_ids`: `Female`, or `Female & Black` for an intersection.
std::vector<std::string> group_names(const Dataset& dataset, const std::vector<std::string>& attributes);

}  // namespace amend
