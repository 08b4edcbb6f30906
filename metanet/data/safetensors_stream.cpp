#include "metanet/data/safetensors_stream.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "engine/error.hpp"
#include "metanet/data/json_reader.hpp"

namespace amend {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr char kMetadataKey[] = "__metadata__";

using Entry = SafetensorsEntry;

std::uint64_t read_length(std::uint64_t file_bytes, const ReadBytes& read, const std::string& where) {
  if (file_bytes < kLengthBytes)
    fail_input(where, "truncated: expected at least ", kLengthBytes, " bytes, got ", file_bytes);
  std::uint64_t length = 0;
  read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > kLongestSafetensorsHeader)
    fail_input(where, "expected a safetensors header of at most ", kLongestSafetensorsHeader, " bytes, got ", length);
  if (length > file_bytes - kLengthBytes)
    fail_input(where, "truncated: expected a header of ", length, " bytes, got ", file_bytes - kLengthBytes);
  return length;
}

std::uint64_t natural_number(const nlohmann::json& value, const std::string& where) {
  if (!value.is_number_unsigned()) fail_input(where, "expected whole numbers from 0, got ", in_quotes(value.dump()));
  return value.get<std::uint64_t>();
}

Entry parse_entry(const std::string& name, const nlohmann::json& description, const std::string& file) {
  const std::string where = file + ": tensor " + in_quotes(name);
  Entry entry;
  entry.tensor.name = name;
  entry.tensor.dtype = json_text(description, "dtype", where);
  if (dtype_bytes(entry.tensor.dtype) == 0) fail_input(where, "unknown dtype ", in_quotes(entry.tensor.dtype));
  const nlohmann::json& shape = json_member(description, "shape", where);
  if (!shape.is_array()) fail_input(where, "expected shape to be a list, got ", shape.type_name());
  for (const nlohmann::json& extent : shape) {
    const std::uint64_t size = natural_number(extent, where + ".shape");
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      fail_input(where, "shape is beyond 64 bits");
    entry.tensor.shape.push_back(static_cast<std::int64_t>(size));
  }
  const nlohmann::json& offsets = json_member(description, "data_offsets", where);
  if (!offsets.is_array() || offsets.size() != 2) fail_input(where, "expected data_offsets to be [begin, end]");
  entry.begin = natural_number(offsets[0], where + ".data_offsets");
  entry.end = natural_number(offsets[1], where + ".data_offsets");
  if (description.size() != 3) fail_input(where, "expected only dtype, shape and data_offsets, got more keys");
  if (entry.begin > entry.end)
    fail_input(where, "expected data_offsets in order, got [", entry.begin, ", ", entry.end, "]");
  if (const std::uint64_t bytes = tensor_bytes(entry.tensor, where); bytes != entry.end - entry.begin)
    fail_input(where, "expected ", bytes, " bytes for ", entry.tensor.dtype, " ", shape_text(entry.tensor.shape),
               ", data_offsets hold ", entry.end - entry.begin);
  return entry;
}

/// Entries in the order of their bytes, which cover `data_bytes` without gap or overlap.
SafetensorsHeader parse_header(std::string_view header, std::uint64_t data_bytes, const std::string& where) {
  if (header.empty() || header.front() != '{') fail_input(where, "expected a safetensors header beginning with '{'");
  const nlohmann::json document =
      parse_json(header, where + ": header", {.bytes = kLongestSafetensorsHeader, .values = 8'000'000, .depth = 4});
  SafetensorsHeader result;
  std::vector<Entry>& entries = result.entries;
  for (const auto& [name, value] : document.items()) {
    if (name != kMetadataKey) {
      entries.push_back(parse_entry(name, value, where));
      continue;
    }
    if (!value.is_object()) fail_input(where, "expected __metadata__ to be an object, got ", value.type_name());
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string())
        fail_input(where, "expected __metadata__ of strings, got ", text.type_name(), " at ", in_quotes(key));
      result.metadata.emplace(key, text.get<std::string>());
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& left, const Entry& right) {
    return std::tie(left.begin, left.end, left.tensor.name) < std::tie(right.begin, right.end, right.tensor.name);
  });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    const std::string tensor = where + ": tensor " + in_quotes(entry.tensor.name);
    if (entry.begin != covered)
      fail_input(tensor,
                 entry.begin < covered ? "overlaps the tensor before it" : "leaves a gap after the tensor before it",
                 ": expected its bytes from ", covered, ", got ", entry.begin);
    if (entry.end > data_bytes)
      fail_input(tensor, "truncated: expected data up to byte ", entry.end, ", the file has ", data_bytes);
    covered = entry.end;
  }
  if (covered != data_bytes) fail_input(where, "expected ", covered, " bytes of data, the file has ", data_bytes);
  return result;
}

}  // namespace

std::uint64_t tensor_bytes(const SafetensorsTensor& tensor, const std::string& where) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t bytes = dtype_bytes(tensor.dtype);
  for (const std::int64_t extent : tensor.shape) {
    const auto size = static_cast<std::uint64_t>(extent);
    if (size != 0 && bytes > kMost / size) fail_input(where, "shape ", shape_text(tensor.shape), " is beyond 64 bits");
    bytes *= size;
  }
  return bytes;
}

void check_finite(std::span<const float> values, const std::string& name, const std::string& where) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail_input(where + ": tensor " + in_quotes(name), "expected finite numbers within float32, got ", values[i],
                 " at element ", i);
}

SafetensorsHeader read_safetensors_header(std::uint64_t file_bytes, const ReadBytes& read, const std::string& where) {
  const std::uint64_t length = read_length(file_bytes, read, where);
  std::string text(length, '\0');
  read(kLengthBytes, std::as_writable_bytes(std::span(text)));
  SafetensorsHeader header = parse_header(text, file_bytes - kLengthBytes - length, where);
  header.data_begin = kLengthBytes + length;
  return header;
}

SafetensorsReader::Descriptor::~Descriptor() {
  if (value >= 0) ::close(value);
}

SafetensorsReader::SafetensorsReader(const std::filesystem::path& file) : where_(file.string()) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) fail_input(where_, "expected a safetensors file, found none");
  const std::uint64_t file_bytes = std::filesystem::file_size(file, error);
  if (error) fail_input(where_, "cannot be read: ", error.message());
  descriptor_.value = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  header_ = read_safetensors_header(
      file_bytes, [this](std::uint64_t position, std::span<std::byte> target) { read_file(position, target); }, where_);
  data_begin_ = header_.data_begin;
}

void SafetensorsReader::read(std::uint64_t begin, std::span<std::byte> target) const {
  read_file(data_begin_ + begin, target);
}

void SafetensorsReader::read_file(std::uint64_t position, std::span<std::byte> target) const {
  while (!target.empty()) {
    const ssize_t count = ::pread(descriptor_.value, target.data(), target.size(), static_cast<off_t>(position));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail_input(where_, "cannot be read");
    position += static_cast<std::uint64_t>(count);
    target = target.subspan(static_cast<std::size_t>(count));
  }
}

SafetensorsWriter::Plan SafetensorsWriter::plan_of(std::span<const SafetensorsTensor> tensors,
                                                   const std::map<std::string, std::string>& metadata,
                                                   const std::string& where) {
  std::string header = "{";
  if (!metadata.empty())
    header += '"' + std::string(kMetadataKey) +
              "\":" + nlohmann::json(metadata).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::set<std::string_view> names{kMetadataKey};
  std::uint64_t offset = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    check(names.insert(tensor.name).second, "save_safetensors", "tensor name ", in_quotes(tensor.name),
          " twice, or reserved");
    check(dtype_bytes(tensor.dtype) != 0, "save_safetensors", "unknown dtype ", in_quotes(tensor.dtype));
    check(std::all_of(tensor.shape.begin(), tensor.shape.end(), [](auto size) { return size >= 0; }),
          "save_safetensors", "tensor ", in_quotes(tensor.name), ": expected extents from 0, got ",
          shape_text(tensor.shape));
    const std::uint64_t end = offset + tensor_bytes(tensor, where);
    if (header.size() > 1) header += ',';
    header += nlohmann::json(tensor.name).dump() + ":{\"dtype\":\"" + tensor.dtype +
              "\",\"shape\":" + nlohmann::json(tensor.shape).dump() + ",\"data_offsets\":[" + std::to_string(offset) +
              ',' + std::to_string(end) + "]}";
    offset = end;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  check(header.size() <= kLongestSafetensorsHeader, "save_safetensors", "expected a header of at most ",
        kLongestSafetensorsHeader, " bytes, got ", header.size());
  return {std::move(header), offset};
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& file, std::span<const SafetensorsTensor> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : SafetensorsWriter(file, plan_of(tensors, metadata, file.string())) {}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& file, const Plan& plan)
    : missing_(plan.data_bytes), output_(file) {
  const std::uint64_t length = plan.header.size();
  output_.write(&length, sizeof(length));
  output_.write(plan.header.data(), plan.header.size());
}

void SafetensorsWriter::write(std::span<const std::byte> data) {
  check(data.size() <= missing_, "save_safetensors", "expected ", missing_, " more bytes of data, got ", data.size());
  output_.write(data.data(), data.size());
  missing_ -= data.size();
}

void SafetensorsWriter::commit() {
  check(missing_ == 0, "save_safetensors", "expected ", missing_, " more bytes of data");
  output_.commit();
}

}  // namespace amend
