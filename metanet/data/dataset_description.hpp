#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "metanet/data/config.hpp"
#include "metanet/data/dataset.hpp"

namespace amend {

enum class Split : std::uint8_t { subject_train, editor_train, validation, audit };
inline constexpr std::array<const char*, 4> kSplitNames = {"subject_train", "editor_train", "validation", "audit"};

struct FileDescription {
  std::string path;
  std::string sha256;          // empty: not checked
  int skip_lines = 0;          // lines before header or data
  std::optional<Split> split;  // all rows of the file belong to this split
};

enum class Transform : std::uint8_t { identity, log1p };

/// What to do with a value of a categorical column that is none of its levels.
enum class UnknownLevel : std::uint8_t { zero, error };

struct ColumnDescription {
  std::string name;
  ColumnKind kind = ColumnKind::numeric;
  bool is_feature = true, is_label = false, is_sensitive = false;
  Transform transform = Transform::identity;        // numeric
  bool missing_indicator = false;                   // numeric: a second input, 1 where the value is missing
  std::optional<std::vector<std::string>> levels;   // categorical; nothing: those found in subject_train, sorted
  UnknownLevel unknown_level = UnknownLevel::zero;  // categorical
  std::string strip_suffix;                         // taken off the end of every value that ends in it
};

/// A condition on a numeric column (an interval) or on a categorical one (a list of values).
struct Condition {
  Bounds interval;                  // numeric
  std::vector<std::string> values;  // categorical
  bool excludes = false;            // true for `not`: holds for every value that is not listed
};

/// How the label column becomes a class: by value, or by an interval that the positive class lies in.
struct LabelRule {
  std::vector<std::vector<std::string>> values;  // class id -> values of the column; empty: by interval
  Bounds interval;
  std::vector<std::string> names;  // class id -> name
};

/// How a column becomes the groups of a sensitive attribute. Neither values nor interval: every value is a group.
struct GroupRule {
  std::string name;
  std::string column;
  std::vector<std::string> groups;               // group id -> name
  std::vector<std::vector<std::string>> values;  // group id -> values of the column
  int other_group = -1;                          // group of values not listed; -1: they are an error
  std::optional<Bounds> interval;                // group 1 lies in it, group 0 does not
};

struct RowFilter {
  std::string column;
  Condition keep;
};

/// The size of one split: a share of the rows that are not pinned to a split by their file, a count, or the rest.
struct SplitSize {
  enum class Unit : std::uint8_t { none, rows, share, rest } unit = Unit::none;
  double amount = 0;
};

struct SyntheticSettings {
  std::int64_t rows = 20000;
  std::uint64_t seed = 1;
  double bias = 1.0;  // strength of the planted bias, 0 for none
};

/// A dataset description as docs/datasets.md documents it.
struct DatasetDescription {
  std::string name;
  std::optional<SyntheticSettings> synthetic;  // then the columns and rules below are the model's
  std::vector<FileDescription> files;
  char separator = ',';
  bool header = true;
  std::vector<std::string> missing;  // cells that stand for a missing value
  bool drop_missing = false;         // leave out rows in which a feature, the label or a sensitive column is missing
  std::vector<ColumnDescription> columns;
  LabelRule label;
  std::vector<GroupRule> sensitive;
  std::vector<RowFilter> filters;
  std::uint64_t split_seed = 1;
  std::array<SplitSize, 4> split_size;

  /// Index in `columns`, -1 when there is none of that name.
  int find_column(const std::string& column) const;
};

/// The level that stands for the missing marker of a categorical column.
inline constexpr const char* kMissingLevel = "missing";

/// Checks and returns what the file says. Throws InputError naming file and key.
DatasetDescription parse_description(const Config& config);

}  // namespace amend
