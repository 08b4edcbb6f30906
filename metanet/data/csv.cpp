#include "metanet/data/csv.hpp"

#include <algorithm>
#include <cstring>

#include "engine/error.hpp"

namespace amend {

namespace {

/// One pass over the text. Quoted cells are unescaped in place: the result is never longer than what it replaces.
class Reader {
 public:
  Reader(std::vector<char>& text, char separator, const std::string& name)
      : next_(text.data()), end_(text.data() + text.size()), separator_(separator), name_(name) {
    if (text.size() >= 3 && std::memcmp(next_, "\xEF\xBB\xBF", 3) == 0) next_ += 3;
  }

  bool done() const { return next_ == end_; }
  std::int64_t line() const { return line_; }

  void skip_line() {
    next_ = std::find(next_, end_, '\n');
    if (next_ != end_) ++next_;
    ++line_;
  }

  /// Skips a line that holds nothing but blanks; false when there is something in it.
  bool skip_blank_line() {
    const char* at = next_;
    while (at != end_ && (is_blank(*at) || *at == '\r')) ++at;
    if (at != end_ && *at != '\n') return false;
    skip_line();
    return true;
  }

  /// Appends the cells of the line, or lines where quotes span some, that begins here.
  void read_row(std::vector<std::string_view>& cells) {
    const std::int64_t first_line = line_;
    do {
      skip_blanks();
      cells.push_back(next_ != end_ && *next_ == '"' ? quoted_cell(first_line) : plain_cell());
    } while (take_separator());
    if (next_ != end_) ++next_;  // the line feed
    ++line_;
  }

 private:
  bool is_blank(char c) const { return (c == ' ' || c == '\t') && c != separator_; }
  void skip_blanks() {
    while (next_ != end_ && is_blank(*next_)) ++next_;
  }
  bool take_separator() {
    if (next_ == end_ || *next_ != separator_) return false;
    ++next_;
    return true;
  }

  std::string_view plain_cell() {
    const char* first = next_;
    while (next_ != end_ && *next_ != separator_ && *next_ != '\n') ++next_;
    const char* last = next_;
    if (last != first && last[-1] == '\r' && (next_ == end_ || *next_ == '\n')) --last;
    while (last != first && is_blank(last[-1])) --last;
    return {first, static_cast<std::size_t>(last - first)};
  }

  std::string_view quoted_cell(std::int64_t first_line) {
    char* const first = ++next_;
    char* out = first;
    while (true) {
      if (next_ == end_) fail_input(at_line(first_line), "a quote is opened and never closed");
      if (*next_ == '"') {
        if (next_ + 1 == end_ || next_[1] != '"') break;
        ++next_;
      }
      if (*next_ == '\n') ++line_;
      *out++ = *next_++;
    }
    ++next_;
    skip_blanks();
    if (next_ != end_ && *next_ == '\r' && (next_ + 1 == end_ || next_[1] == '\n')) ++next_;
    if (next_ != end_ && *next_ != separator_ && *next_ != '\n') {
      fail_input(at_line(line_), "expected a separator or the end of the line after a closing quote, got `", *next_,
                 '`');
    }
    return {first, static_cast<std::size_t>(out - first)};
  }

  std::string at_line(std::int64_t line) const { return name_ + ": line " + std::to_string(line); }

  char* next_;
  char* const end_;
  const char separator_;
  const std::string& name_;
  std::int64_t line_ = 1;
};

}  // namespace

CsvTable parse_csv(std::vector<char> text, const CsvFormat& format, int columns, const std::string& name) {
  CsvTable table;
  table.text = std::move(text);
  table.columns = columns;
  Reader reader(table.text, format.separator, name);
  for (int i = 0; i < format.skip_lines; ++i) {
    if (reader.done()) fail_input(name, "expected ", format.skip_lines, " lines before the data, got ", i);
    reader.skip_line();
  }

  const auto check_width = [&](std::size_t width, std::int64_t line) {
    if (table.columns == 0) table.columns = static_cast<int>(width);
    if (width != static_cast<std::size_t>(table.columns)) {
      fail_input(name + ": line " + std::to_string(line), "expected ", table.columns, " columns, got ", width);
    }
  };
  bool header_due = format.header;
  while (!reader.done()) {
    if (reader.skip_blank_line()) continue;
    const std::int64_t line = reader.line();
    const std::size_t before = table.cells.size();
    reader.read_row(header_due ? table.header : table.cells);
    check_width(header_due ? table.header.size() : table.cells.size() - before, line);
    if (!header_due) table.lines.push_back(line);
    header_due = false;
  }
  if (header_due) fail_input(name, "expected a header line, got an empty file");
  return table;
}

}  // namespace amend
