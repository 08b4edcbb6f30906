#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace amend {

/// What a JSON text from outside may cost. The defaults hold a manifest of a hundred thousand networks.
struct JsonLimits {
  std::size_t bytes = std::size_t{256} << 20;
  std::size_t values = std::size_t{16} << 20;
  std::size_t depth = 64;
};

/// Parses untrusted JSON. Unlike a plain parse it refuses duplicate keys (which would silently keep the last), a zero
/// byte (which would silently end the text) and anything beyond `limits`; bad UTF-8 and trailing text are refused too.
/// Throws InputError beginning with `where`.
nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});

/// Parses a file. Throws InputError naming it.
nlohmann::json load_json(const std::filesystem::path& file, const JsonLimits& limits = {});

/// Member `key` of `object`. Throws InputError when `object` is none or has no such key; `where` names the file and,
/// for nested objects, the path to it.
const nlohmann::json& json_member(const nlohmann::json& object, const std::string& key, const std::string& where);
/// The same, and throws InputError unless it is a string.
const std::string& json_text(const nlohmann::json& object, const std::string& key, const std::string& where);

/// `text` in double quotes for a message: shortened, control characters and bad UTF-8 replaced.
std::string in_quotes(std::string_view text);

}  // namespace amend
