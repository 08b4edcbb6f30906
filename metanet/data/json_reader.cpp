#include "metanet/data/json_reader.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <utility>
#include <vector>

#include "engine/error.hpp"

namespace amend {
namespace {

using Json = nlohmann::json;

/// Builds the document while it is read, so that a text that breaks a rule costs no more than what came before.
class DocumentBuilder {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  DocumentBuilder(const std::string& where, const JsonLimits& limits) : where_(where), limits_(limits) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(number_integer_t value) { return add(value); }
  bool number_unsigned(number_unsigned_t value) { return add(value); }
  bool number_float(number_float_t value, const string_t&) { return add(value); }
  bool string(string_t& value) { return add(std::move(value)); }
  bool binary(binary_t&) { fail_input(where_, "expected JSON text, got binary data"); }

  bool start_object(std::size_t) { return open(Json::object()); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_array() { return close(); }

  bool key(string_t& name) {
    const auto [member, inserted] = open_.back()->get_ref<Json::object_t&>().try_emplace(name, nullptr);
    if (!inserted) fail_input(where_, "expected each key once, got ", in_quotes(name), " twice");
    next_member_ = &member->second;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) {
    std::string reason = error.what();
    if (const std::size_t id = reason.find("] "); id != std::string::npos) reason.erase(0, id + 2);
    reason.resize(std::min<std::size_t>(reason.size(), 300));
    for (char& letter : reason)
      if (letter < ' ' || letter > '~') letter = '?';
    fail_input(where_, "expected valid JSON: ", reason);
  }

  Json take() { return std::move(root_); }

 private:
  Json* place(Json value) {
    if (++values_ > limits_.values) fail_input(where_, "expected at most ", limits_.values, " JSON values");
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& array = open_.back()->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    *next_member_ = std::move(value);
    return next_member_;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (open_.size() >= limits_.depth) fail_input(where_, "expected JSON nested at most ", limits_.depth, " deep");
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  const JsonLimits& limits_;
  Json root_;
  std::vector<Json*> open_;  // containers being filled; an open one's parent does not grow, so pointers stay valid
  Json* next_member_ = nullptr;
  std::size_t values_ = 0;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    fail_input(where, "expected at most ", limits.bytes, " bytes of JSON, got ", text.size());
  // The library takes a zero byte for the end and would ignore whatever follows it.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
    fail_input(where, "expected JSON text, got a zero byte at ", zero);
  DocumentBuilder builder(where, limits);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

nlohmann::json load_json(const std::filesystem::path& file, const JsonLimits& limits) {
  const std::string where = file.string();
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) fail_input(where, "expected a JSON file, found none");
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error) fail_input(where, "cannot be read: ", error.message());
  if (bytes > limits.bytes) fail_input(where, "expected at most ", limits.bytes, " bytes of JSON, got ", bytes);
  std::string text(bytes, '\0');
  std::ifstream stream(file, std::ios::binary);
  if (!stream.read(text.data(), static_cast<std::streamsize>(bytes))) fail_input(where, "cannot be read");
  return parse_json(text, where, limits);
}

const nlohmann::json& json_member(const nlohmann::json& object, const std::string& key, const std::string& where) {
  if (!object.is_object()) fail_input(where, "expected an object, got ", object.type_name());
  const auto member = object.find(key);
  if (member == object.end()) fail_input(where, "expected a key '", key, "', found none");
  return *member;
}

const std::string& json_text(const nlohmann::json& object, const std::string& key, const std::string& where) {
  const nlohmann::json& member = json_member(object, key, where);
  if (!member.is_string()) fail_input(where + "." + key, "expected a string, got ", member.type_name());
  return member.get_ref<const std::string&>();
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 120;
  const bool shorten = text.size() > kLongest;
  return Json(std::string(text.substr(0, kLongest)) + (shorten ? "..." : ""))
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace amend
