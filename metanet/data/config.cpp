#include "metanet/data/config.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numeric>
#include <set>
#include <type_traits>

#include "engine/error.hpp"

namespace amend {

struct Config::Source {
  std::filesystem::path file;
  std::string text;
};

std::string number_text(double value) {
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

namespace {

constexpr std::uintmax_t kLargestFile = 16u << 20;
constexpr int kDeepestNesting = 64;

std::string in_ticks(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  return '`' + std::string(text.substr(0, kLongest)) + (text.size() > kLongest ? "...`" : "`");
}

/// What stands in the file, for `got ...`.
std::string describe(const YAML::Node& node) {
  if (node.IsScalar()) return in_ticks(node.Scalar());
  if (node.IsSequence()) return "a list of " + std::to_string(node.size());
  if (node.IsMap()) return "a mapping";
  return "nothing";
}

template <class T>
std::string expectation(const Bounds& bounds) {
  if constexpr (std::is_same_v<T, std::string>) return "text";
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_unsigned_v<T>) {
    if (!std::isfinite(bounds.low) && !std::isfinite(bounds.high)) return "a whole number >= 0";
  }
  if constexpr (std::is_integral_v<T>) return "a whole number" + bounds.describe();
  return "a number" + bounds.describe();
}

/// False when `text` is not a T, or too large for one.
template <class T>
bool convert(const std::string& text, T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    value = text;
    return true;
  } else if constexpr (std::is_same_v<T, bool>) {
    value = text == "true" || text == "yes" || text == "on";
    return value || text == "false" || text == "no" || text == "off";
  } else {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return false;
    if constexpr (std::is_floating_point_v<T>) return std::isfinite(value);
    return true;
  }
}

template <class T>
T read(const YAML::Node& node, const std::string& where, const Bounds& bounds) {
  T value{};
  bool ok = node.IsScalar() && convert(node.Scalar(), value);
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    ok = ok && bounds.contains(static_cast<double>(value));
  }
  if (!ok) fail_input(where, "expected ", expectation<T>(bounds), ", got ", describe(node));
  return value;
}

std::string join_path(const std::string& path, std::string_view key) {
  if (path.empty() || key.empty()) return path + std::string(key);
  return path + '.' + std::string(key);
}

/// Throws on duplicate and non-scalar keys anywhere in the document, and on aliases: one can stand for a node that
/// encloses it, or for exponentially many copies.
void check_keys(const YAML::Node& node, const std::string& file, const std::string& path, int depth,
                std::set<int>& seen) {
  if (depth > kDeepestNesting) fail_input(file + ": " + path, "nested more than ", kDeepestNesting, " levels deep");
  if (!(node.IsMap() || node.IsSequence())) return;
  if (!seen.insert(node.Mark().pos).second) {
    fail_input(path.empty() ? file : file + ": " + path, "expected the values themselves, got an alias (`*name`)");
  }
  if (node.IsSequence()) {
    std::size_t index = 0;
    for (const auto& item : node) {
      check_keys(item, file, path + '[' + std::to_string(index++) + ']', depth + 1, seen);
    }
    return;
  }
  std::set<std::string> keys;
  for (const auto& entry : node) {
    const int line = entry.first.Mark().line + 1;
    if (!entry.first.IsScalar()) fail_input(file, "line ", line, ": expected a plain key, got ", describe(entry.first));
    const std::string key = join_path(path, entry.first.Scalar());
    if (!keys.insert(entry.first.Scalar()).second) fail_input(file + ": " + key, "duplicate key on line ", line);
    check_keys(entry.second, file, key, depth + 1, seen);
  }
}

/// Length-prefixed, so that no two different documents give the same text.
void write_canonical(const YAML::Node& node, std::string& out) {
  if (node.IsScalar()) {
    out += std::to_string(node.Scalar().size()) + ':' + node.Scalar();
  } else if (node.IsSequence()) {
    out += '[';
    for (const auto& item : node) write_canonical(item, out);
    out += ']';
  } else if (node.IsMap()) {
    out += '{';
    for (const auto& entry : node) {
      write_canonical(entry.first, out);
      write_canonical(entry.second, out);
    }
    out += '}';
  } else {
    out += '~';
  }
}

}  // namespace

std::string Bounds::describe() const {
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
  if (has_low && has_high && !low_excluded && !high_excluded) {
    return " from " + number_text(low) + " to " + number_text(high);
  }
  std::string text;
  if (has_low) text += (low_excluded ? " > " : " >= ") + number_text(low);
  if (has_high) text += (has_low ? " and" : "") + std::string(high_excluded ? " < " : " <= ") + number_text(high);
  return text;
}

std::string nearest_name(std::string_view text, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::numeric_limits<std::size_t>::max();
  for (const auto& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::size_t diagonal = row[0]++;
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        const std::size_t replaced = diagonal + (text[i] == candidate[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

Config::Config(std::shared_ptr<const Source> source, const YAML::Node& node, std::string path)
    : source_(std::move(source)), node_(std::make_shared<const YAML::Node>(node)), path_(std::move(path)) {}

Config Config::load(const std::filesystem::path& file) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (!std::filesystem::exists(status)) fail_input(file.string(), "no such file");
  if (std::filesystem::is_directory(status)) fail_input(file.string(), "expected a YAML file, got a folder");
  // A device or a pipe may never end.
  if (!std::filesystem::is_regular_file(status)) fail_input(file.string(), "expected a regular file");
  if (const auto size = std::filesystem::file_size(file, error); !error && size > kLargestFile) {
    fail_input(file.string(), "expected a YAML file of at most ", kLargestFile, " bytes, got ", size);
  }
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in) fail_input(file.string(), "cannot be read");
  return parse(text, file.string());
}

Config Config::parse(const std::string& text, const std::string& name) {
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(text);
  } catch (const YAML::Exception& exception) {
    const std::string where = exception.mark.is_null() ? name
                                                       : name + ": line " + std::to_string(exception.mark.line + 1) +
                                                             ", column " + std::to_string(exception.mark.column + 1);
    fail_input(where, "not valid YAML: ", exception.msg);
  }
  if (documents.size() != 1 || !documents[0].IsMap()) {
    fail_input(name, "expected one YAML mapping (`key: value` lines), got ",
               documents.empty()       ? "an empty file"
               : documents.size() == 1 ? describe(documents[0])
                                       : std::to_string(documents.size()) + " documents");
  }
  std::set<int> seen;
  check_keys(documents[0], name, "", 0, seen);
  return {std::make_shared<const Source>(Source{name, text}), documents[0], ""};
}

const std::filesystem::path& Config::file() const { return source_->file; }
const std::string& Config::text() const { return source_->text; }

std::string Config::canonical() const {
  std::string result;
  write_canonical(*node_, result);
  return result;
}

std::string Config::where(std::string_view key) const {
  const std::string path = join_path(path_, key);
  return path.empty() ? source_->file.string() : source_->file.string() + ": " + path;
}

void Config::fail_at(std::string_view key, const std::string& message) const { fail_input(where(key), message); }

std::vector<std::string> Config::keys() const {
  std::vector<std::string> result;
  for (const auto& entry : *node_) result.push_back(entry.first.Scalar());
  return result;
}

void Config::allow_only(std::initializer_list<const char*> keys) const {
  const std::vector<std::string> known(keys.begin(), keys.end());
  for (const auto& key : this->keys()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      fail_at(key, "unknown key; did you mean `" + nearest_name(key, known) + "`?");
    }
  }
}

namespace {

/// The node at `key` of a mapping, undefined when absent.
YAML::Node find(const YAML::Node& map, std::string_view key) {
  for (const auto& entry : map) {
    if (entry.first.Scalar() == key) return entry.second;
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

bool absent(const YAML::Node& node) { return node.Type() == YAML::NodeType::Undefined; }

}  // namespace

bool Config::has(std::string_view key) const { return !absent(find(*node_, key)); }
bool Config::is_map(std::string_view key) const { return find(*node_, key).IsMap(); }
bool Config::is_list(std::string_view key) const { return find(*node_, key).IsSequence(); }

template <class T>
T Config::get(std::string_view key, const T& fallback, const Bounds& bounds) const {
  const YAML::Node node = find(*node_, key);
  return absent(node) ? fallback : read<T>(node, where(key), bounds);
}

std::string Config::get(std::string_view key, const char* fallback) const {
  return get<std::string>(key, std::string(fallback));
}

template <class T>
T Config::require(std::string_view key, const Bounds& bounds) const {
  const YAML::Node node = find(*node_, key);
  if (absent(node)) fail_at(key, "missing; expected " + expectation<T>(bounds));
  return read<T>(node, where(key), bounds);
}

std::string Config::choice(std::string_view key, const std::string& fallback,
                           const std::vector<std::string>& choices) const {
  const std::string value = get<std::string>(key, fallback);
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    std::string known;
    for (const auto& name : choices) known += (known.empty() ? "" : ", ") + name;
    fail_at(key, "expected one of " + known + ", got " + in_ticks(value));
  }
  return value;
}

template <class T>
std::vector<T> Config::list(std::string_view key, const std::vector<T>& fallback, const Bounds& bounds) const {
  const YAML::Node node = find(*node_, key);
  if (absent(node)) return fallback;
  if (!node.IsSequence()) return {read<T>(node, where(key), bounds)};
  std::vector<T> values;
  for (const auto& item : node) {
    values.push_back(read<T>(item, where(key) + '[' + std::to_string(values.size()) + ']', bounds));
  }
  return values;
}

template <class T>
Range<T> Config::get_range(std::string_view key, const Range<T>& fallback, const Bounds& bounds) const {
  return has(key) ? require_range<T>(key, bounds) : fallback;
}

template <class T>
Range<T> Config::require_range(std::string_view key, const Bounds& bounds) const {
  if (!is_list(key)) {
    const T value = require<T>(key, bounds);
    return {value, value};
  }
  const std::vector<T> ends = list<T>(key, {}, bounds);
  if (ends.size() != 2 || ends[1] < ends[0]) {
    fail_at(key, "expected " + expectation<T>(bounds) + ", or [low, high] with low <= high");
  }
  return {ends[0], ends[1]};
}

Config Config::child(std::string_view key) const {
  const YAML::Node node = find(*node_, key);
  if (absent(node) || node.IsNull()) return {source_, YAML::Node(YAML::NodeType::Map), join_path(path_, key)};
  if (!node.IsMap()) fail_at(key, "expected a mapping, got " + describe(node));
  return {source_, node, join_path(path_, key)};
}

std::vector<Config> Config::children(std::string_view key) const {
  const YAML::Node node = find(*node_, key);
  if (absent(node)) return {};
  if (!node.IsSequence()) fail_at(key, "expected a list of mappings, got " + describe(node));
  std::vector<Config> result;
  for (const auto& item : node) {
    const std::string path = join_path(path_, key) + '[' + std::to_string(result.size()) + ']';
    if (!item.IsMap()) fail_input(source_->file.string() + ": " + path, "expected a mapping, got ", describe(item));
    result.push_back(Config(source_, item, path));
  }
  return result;
}

#define AMEND_CONFIG_VALUE(T)                                                 \
  template T Config::get<T>(std::string_view, const T&, const Bounds&) const; \
  template T Config::require<T>(std::string_view, const Bounds&) const;       \
  template std::vector<T> Config::list<T>(std::string_view, const std::vector<T>&, const Bounds&) const
#define AMEND_CONFIG_NUMBER(T)                                                                    \
  AMEND_CONFIG_VALUE(T);                                                                          \
  template Range<T> Config::get_range<T>(std::string_view, const Range<T>&, const Bounds&) const; \
  template Range<T> Config::require_range<T>(std::string_view, const Bounds&) const

AMEND_CONFIG_VALUE(bool);
AMEND_CONFIG_VALUE(std::string);
AMEND_CONFIG_NUMBER(int);
AMEND_CONFIG_NUMBER(std::int64_t);
AMEND_CONFIG_NUMBER(std::uint64_t);
AMEND_CONFIG_NUMBER(float);
AMEND_CONFIG_NUMBER(double);

#undef AMEND_CONFIG_NUMBER
#undef AMEND_CONFIG_VALUE

}  // namespace amend
