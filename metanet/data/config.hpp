#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace YAML {
class Node;
}

namespace amend {

/// Which numbers a key accepts; infinite limits are no limits.
struct Bounds {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_excluded = false;
  bool high_excluded = false;

  bool contains(double value) const {
    return (low_excluded ? value > low : value >= low) && (high_excluded ? value < high : value <= high);
  }
  /// As it continues `expected a number`: ` > 0`, ` from 0 to 1`, or nothing.
  std::string describe() const;
};

inline Bounds above(double low) { return {.low = low, .low_excluded = true}; }
inline Bounds at_least(double low) { return {.low = low}; }
inline Bounds between(double low, double high) { return {.low = low, .high = high}; }

/// A range that values are drawn from, both ends included.
template <class T>
struct Range {
  T low{};
  T high{};
};

/// The shortest decimal text that reads as `value` again.
std::string number_text(double value);

/// The candidate with the smallest edit distance to `text`; empty when there are no candidates.
std::string nearest_name(std::string_view text, const std::vector<std::string>& candidates);

/// A YAML mapping with its file and key path, so that every error reads `file.yaml: key.subkey: expected a number > 0,
/// got `x``. All getters throw InputError. Values are bool, int, int64_t, uint64_t, float, double or std::string;
/// numbers are finite. A copy is cheap and refers to the same document. Aliases (`*name`) to lists and mappings are
/// errors.
class Config {
 public:
  /// Reads a file that holds one mapping. Syntax errors name file, line and column; duplicate keys are errors.
  static Config load(const std::filesystem::path& file);
  /// The same from text; `name` stands for the file in errors.
  static Config parse(const std::string& text, const std::string& name);

  /// Throws unless every key of this mapping is among `keys`; the message names the nearest.
  void allow_only(std::initializer_list<const char*> keys) const;

  bool has(std::string_view key) const;
  bool is_map(std::string_view key) const;
  bool is_list(std::string_view key) const;
  /// Keys of this mapping in file order.
  std::vector<std::string> keys() const;

  /// The value at `key`, or `fallback` when the key is absent. Bounds apply to numbers only, and to what is in the
  /// file.
  template <class T>
  T get(std::string_view key, const T& fallback, const Bounds& bounds = {}) const;
  std::string get(std::string_view key, const char* fallback) const;
  template <class T>
  T require(std::string_view key, const Bounds& bounds = {}) const;

  /// One of `choices`; the error lists them.
  std::string choice(std::string_view key, const std::string& fallback, const std::vector<std::string>& choices) const;

  /// A sequence of values; a single value counts as a sequence of one. `fallback` when the key is absent.
  template <class T>
  std::vector<T> list(std::string_view key, const std::vector<T>& fallback = {}, const Bounds& bounds = {}) const;

  /// `[low, high]` with low <= high, or one value that stands for both.
  template <class T>
  Range<T> get_range(std::string_view key, const Range<T>& fallback, const Bounds& bounds = {}) const;
  template <class T>
  Range<T> require_range(std::string_view key, const Bounds& bounds = {}) const;

  /// The mapping at `key`; an empty one when the key is absent or has no value.
  Config child(std::string_view key) const;
  /// The mappings in the sequence at `key`; empty when absent.
  std::vector<Config> children(std::string_view key) const;

  /// `file.yaml: path.to.key`, the start of every error about `key`; without a key, of this mapping.
  std::string where(std::string_view key = {}) const;
  /// Throws InputError about `key`.
  [[noreturn]] void fail_at(std::string_view key, const std::string& message) const;

  const std::filesystem::path& file() const;
  /// The text of the whole document.
  const std::string& text() const;
  /// This mapping written so that two with the same keys and values, in the same order, give the same text, whatever
  /// their comments and layout: what a fingerprint is taken of.
  std::string canonical() const;

 private:
  struct Source;
  Config(std::shared_ptr<const Source> source, const YAML::Node& node, std::string path);

  std::shared_ptr<const Source> source_;
  std::shared_ptr<const YAML::Node> node_;
  std::string path_;
};

}  // namespace amend
