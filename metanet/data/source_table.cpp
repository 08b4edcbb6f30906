#include "metanet/data/source_table.hpp"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "engine/error.hpp"
#include "metanet/data/csv.hpp"
#include "metanet/data/sha256.hpp"

namespace amend {

namespace {

/// Next to the description, then $AMEND_DATA, then data/ in the current folder.
std::filesystem::path find_file(const std::string& path, const Config& config) {
  std::vector<std::filesystem::path> places;
  if (std::filesystem::path(path).is_absolute()) {
    places.emplace_back(path);
  } else {
    places.push_back(config.file().parent_path() / path);
    if (const char* folder = std::getenv("AMEND_DATA"); folder && *folder) {
      places.push_back(std::filesystem::path(folder) / path);
    }
    places.push_back(std::filesystem::path("data") / path);
  }
  std::string tried;
  for (const auto& place : places) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(place, ignored)) return place;
    tried += "\n  " + place.string();
  }
  fail_input(config.where("files"), "`", path, "` not found; tried", tried,
             "\nscripts/get_data downloads the public sets into data/; AMEND_DATA names another folder");
}

std::vector<char> read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : -1;
  if (size < 0) fail_input(path.string(), "cannot be read");
  std::vector<char> bytes(static_cast<std::size_t>(size));
  in.seekg(0);
  in.read(bytes.data(), size);
  if (!in) fail_input(path.string(), "cannot be read");
  return bytes;
}

/// For each column of the description its place in the table, -1 for a column nothing reads. A name that the header has
/// more than once is fine as long as the copies agree.
std::vector<int> match_columns(const DatasetDescription& description, const CsvTable& table, const std::string& name,
                               const std::vector<bool>& used) {
  std::vector<int> place(description.columns.size(), -1);
  for (std::size_t i = 0; i < place.size(); ++i) {
    if (!used[i]) continue;
    if (!description.header) {
      place[i] = static_cast<int>(i);
      continue;
    }
    const std::string& wanted = description.columns[i].name;
    for (int column = 0; column < table.columns; ++column) {
      if (table.header[static_cast<std::size_t>(column)] != wanted) continue;
      if (place[i] < 0) {
        place[i] = column;
        continue;
      }
      for (std::int64_t row = 0; row < table.rows(); ++row) {
        if (table.cell(row, place[i]) != table.cell(row, column)) {
          fail_input(name + ": line " + std::to_string(table.lines[static_cast<std::size_t>(row)]),
                     "the header names `", wanted, "` twice and the copies differ here");
        }
      }
    }
    if (place[i] < 0) {
      const std::vector<std::string> header(table.header.begin(), table.header.end());
      fail_input(name, "no column `", wanted, "` in the header; did you mean `", nearest_name(wanted, header), "`?");
    }
  }
  return place;
}

/// Reads one column of one file after the other into a SourceColumn.
class ColumnReader {
 public:
  ColumnReader(const DatasetDescription& description, const ColumnDescription& column)
      : missing_(description.missing), description_(column) {}

  void append(const CsvTable& table, int place, const std::string& file) {
    for (std::int64_t row = 0; row < table.rows(); ++row) {
      std::string_view cell = table.cell(row, place);
      const std::string& suffix = description_.strip_suffix;
      if (!suffix.empty() && cell.ends_with(suffix)) cell.remove_suffix(suffix.size());
      if (description_.kind == ColumnKind::categorical) {
        result_.code.push_back(code_of(cell));
      } else {
        result_.number.push_back(number_of(cell, table, row, file));
      }
    }
  }

  SourceColumn take() { return std::move(result_); }

 private:
  bool is_missing(std::string_view cell) const {
    for (const auto& marker : missing_) {
      if (cell == marker) return true;
    }
    return false;
  }

  std::int32_t code_of(std::string_view cell) {
    const auto known = codes_.find(std::string(cell));
    if (known != codes_.end()) return known->second;
    const bool missing = is_missing(cell);
    std::int32_t code = missing ? result_.missing_code : -1;
    if (code < 0) {
      code = static_cast<std::int32_t>(result_.values.size());
      result_.values.push_back(missing ? kMissingLevel : std::string(cell));
    }
    if (missing) result_.missing_code = code;
    codes_.emplace(cell, code);
    return code;
  }

  double number_of(std::string_view cell, const CsvTable& table, std::int64_t row, const std::string& file) const {
    if (is_missing(cell)) return std::numeric_limits<double>::quiet_NaN();
    std::string_view digits = cell;
    if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || !std::isfinite(value)) {
      fail_input(file + ": line " + std::to_string(table.lines[static_cast<std::size_t>(row)]) + ": column `" +
                     description_.name + '`',
                 "expected a number, got `", cell.substr(0, 60), '`');
    }
    return value;
  }

  const std::vector<std::string>& missing_;
  const ColumnDescription& description_;
  SourceColumn result_;
  std::unordered_map<std::string, std::int32_t> codes_;
};

}  // namespace

std::string SourceTable::where(std::int64_t row, const std::string& column) const {
  const auto index = static_cast<std::size_t>(row);
  const std::string place = line.empty() ? "row " + std::to_string(row) : "line " + std::to_string(line[index]);
  return files[static_cast<std::size_t>(file[index])].name + ": " + place + ": column `" + column + '`';
}

SourceTable read_source(const DatasetDescription& description, const Config& config) {
  std::vector<bool> used;
  for (const auto& column : description.columns) {
    bool needed = column.is_feature || column.is_label || column.is_sensitive;
    for (const auto& rule : description.sensitive) needed |= rule.column == column.name;
    for (const auto& filter : description.filters) needed |= filter.column == column.name;
    used.push_back(needed);
  }

  SourceTable source;
  std::vector<ColumnReader> readers;
  for (const auto& column : description.columns) readers.emplace_back(description, column);
  for (const auto& file : description.files) {
    const std::filesystem::path path = find_file(file.path, config);
    const std::string name = path.string();
    std::vector<char> bytes = read_bytes(path);
    const std::string digest = sha256_hex({bytes.data(), bytes.size()});
    if (!file.sha256.empty() && digest != file.sha256) {
      fail_input(name, "the SHA-256 checksum differs from the one in ", config.file().string(), "\n  expected ",
                 file.sha256, "\n  got      ", digest);
    }
    const CsvFormat format{description.separator, description.header, file.skip_lines};
    const int width = description.header ? 0 : static_cast<int>(description.columns.size());
    const CsvTable table = parse_csv(std::move(bytes), format, width, name);
    const std::vector<int> place = match_columns(description, table, name, used);
    for (std::size_t i = 0; i < readers.size(); ++i) {
      if (used[i]) readers[i].append(table, place[i], name);
    }
    source.file.insert(source.file.end(), table.lines.size(), static_cast<std::int32_t>(source.files.size()));
    source.line.insert(source.line.end(), table.lines.begin(), table.lines.end());
    source.files.push_back({name, file.split, digest});
    source.rows += table.rows();
  }
  for (auto& reader : readers) source.columns.push_back(reader.take());
  return source;
}

}  // namespace amend
