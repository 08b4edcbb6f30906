#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "metanet/data/dataset_description.hpp"

namespace amend {

/// One typed column. Numeric: `number`, NaN where missing. Categorical: `code` into `values`.
struct SourceColumn {
  std::vector<double> number;       // (rows), numeric columns that are used
  std::vector<std::int32_t> code;   // (rows), categorical columns that are used
  std::vector<std::string> values;  // in order of first appearance
  std::int32_t missing_code = -1;   // code of the missing marker, if it occurs
};

/// The rows of all files of a description, typed but not encoded.
struct SourceTable {
  struct File {
    std::string name;  // for errors
    std::optional<Split> split;
    std::string sha256;
  };

  std::int64_t rows = 0;
  std::vector<SourceColumn> columns;  // one per column of the description
  std::vector<File> files;
  std::vector<std::int32_t> file;  // (rows)
  std::vector<std::int64_t> line;  // (rows), from 1; empty for generated rows

  /// `file.csv: line 12: column `age``, the start of every error about a cell.
  std::string where(std::int64_t row, const std::string& column) const;
};

/// Finds, checks and reads the files of a description. Throws InputError.
SourceTable read_source(const DatasetDescription& description, const Config& config);

}  // namespace amend
