#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace amend {

struct CsvFormat {
  char separator = ',';
  bool header = true;
  int skip_lines = 0;  // lines before the header or the first row that are no data
};

/// The cells of a text table. They point into `text`, which moves but is never copied.
struct CsvTable {
  std::vector<char> text;
  std::vector<std::string_view> header;  // empty without a header
  int columns = 0;
  std::vector<std::string_view> cells;  // (rows, columns), row-major
  std::vector<std::int64_t> lines;      // (rows): line number in the file, from 1, where the row begins

  CsvTable() = default;
  CsvTable(CsvTable&&) noexcept = default;
  CsvTable& operator=(CsvTable&&) noexcept = default;
  CsvTable(const CsvTable&) = delete;
  CsvTable& operator=(const CsvTable&) = delete;

  std::int64_t rows() const { return static_cast<std::int64_t>(lines.size()); }
  std::string_view cell(std::int64_t row, int column) const {
    return cells[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) + static_cast<std::size_t>(column)];
  }
};

/// Splits `text` into cells. A cell in double quotes may hold separators, line ends and doubled quotes (RFC 4180);
/// blanks around a cell do not count; lines end in LF or CRLF, the last one in either or nothing; blank lines and a
/// UTF-8 byte order mark are skipped. `columns` is the expected number, 0 for that of the first line. Throws InputError
/// `name: line 7: expected 15 columns, got 14`.
CsvTable parse_csv(std::vector<char> text, const CsvFormat& format, int columns, const std::string& name);

}  // namespace amend
