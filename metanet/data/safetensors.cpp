#include "metanet/data/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "engine/error.hpp"
#include "metanet/data/atomic_file.hpp"
#include "metanet/data/float16.hpp"
#include "metanet/data/json_reader.hpp"

namespace amend {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian, and bytes are copied as they are");

constexpr std::size_t kLengthBytes = 8;
constexpr char kMetadataKey[] = "__metadata__";

/// A tensor of the header, before its bytes are read.
struct Entry {
  SafetensorsTensor tensor;
  std::uint64_t begin = 0, end = 0;  // in the data section
};

std::uint64_t read_length(const std::byte* bytes, std::uint64_t file_bytes, const std::string& where) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes, sizeof(length));
  if (length > kLongestSafetensorsHeader)
    fail_input(where, "expected a safetensors header of at most ", kLongestSafetensorsHeader, " bytes, got ", length);
  if (length > file_bytes - kLengthBytes)
    fail_input(where, "truncated: expected a header of ", length, " bytes, got ", file_bytes - kLengthBytes);
  return length;
}

void check_longer_than_length(std::uint64_t file_bytes, const std::string& where) {
  if (file_bytes < kLengthBytes)
    fail_input(where, "truncated: expected at least ", kLengthBytes, " bytes, got ", file_bytes);
}

std::uint64_t natural_number(const nlohmann::json& value, const std::string& where) {
  if (!value.is_number_unsigned()) fail_input(where, "expected whole numbers from 0, got ", in_quotes(value.dump()));
  return value.get<std::uint64_t>();
}

/// Bytes of a tensor, or nothing of the kind when the product does not fit 63 bits.
std::uint64_t checked_bytes(const SafetensorsTensor& tensor, const std::string& where) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t bytes = dtype_bytes(tensor.dtype);
  for (const std::int64_t extent : tensor.shape) {
    const auto size = static_cast<std::uint64_t>(extent);
    if (size != 0 && bytes > kMost / size) fail_input(where, "shape ", shape_text(tensor.shape), " is beyond 64 bits");
    bytes *= size;
  }
  return bytes;
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
  if (const std::uint64_t bytes = checked_bytes(entry.tensor, where); bytes != entry.end - entry.begin)
    fail_input(where, "expected ", bytes, " bytes for ", entry.tensor.dtype, " ", shape_text(entry.tensor.shape),
               ", data_offsets hold ", entry.end - entry.begin);
  return entry;
}

/// Entries in the order of their bytes, which cover `data_bytes` without gap or overlap.
std::vector<Entry> parse_header(std::string_view header, std::uint64_t data_bytes, SafetensorsFile& contents,
                                const std::string& where) {
  if (header.empty() || header.front() != '{') fail_input(where, "expected a safetensors header beginning with '{'");
  const nlohmann::json document =
      parse_json(header, where + ": header", {.bytes = kLongestSafetensorsHeader, .values = 8'000'000, .depth = 4});
  std::vector<Entry> entries;
  for (const auto& [name, value] : document.items()) {
    if (name != kMetadataKey) {
      entries.push_back(parse_entry(name, value, where));
      continue;
    }
    if (!value.is_object()) fail_input(where, "expected __metadata__ to be an object, got ", value.type_name());
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string())
        fail_input(where, "expected __metadata__ of strings, got ", text.type_name(), " at ", in_quotes(key));
      contents.metadata.emplace(key, text.get<std::string>());
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
  return entries;
}

using ReadData = std::function<void(std::uint64_t begin, std::span<std::byte> target)>;

void read_tensors(std::vector<Entry> entries, const ReadData& read, SafetensorsFile& contents) {
  contents.tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.tensor.bytes.resize(entry.end - entry.begin);
    read(entry.begin, entry.tensor.bytes);
    contents.tensors.push_back(std::move(entry.tensor));
  }
}

/// Element `index` as float32. F64 beyond float32 becomes infinity.
float element(const SafetensorsTensor& tensor, std::size_t index) {
  const auto load = [&]<class Bits>(Bits bits) {
    std::memcpy(&bits, tensor.bytes.data() + index * sizeof(Bits), sizeof(Bits));
    return bits;
  };
  if (tensor.dtype == "F32") return load(float{});
  if (tensor.dtype == "BF16") return bf16_to_float(load(std::uint16_t{}));
  if (tensor.dtype == "F16") return f16_to_float(load(std::uint16_t{}));
  const double value = load(double{});
  // Converting a number beyond the range is undefined; 2^128 - 2^103 is the first that rounds to infinity.
  if (std::abs(value) >= 0x1.ffffffp127 && std::isfinite(value))
    return std::copysign(std::numeric_limits<float>::infinity(), value < 0 ? -1.0f : 1.0f);
  return static_cast<float>(value);
}

void set_element(SafetensorsTensor& tensor, std::size_t index, float value) {
  const auto store = [&]<class Bits>(Bits bits) {
    std::memcpy(tensor.bytes.data() + index * sizeof(Bits), &bits, sizeof(Bits));
  };
  if (tensor.dtype == "F32") return store(value);
  if (tensor.dtype == "BF16") return store(float_to_bf16(value));
  if (tensor.dtype == "F16") return store(float_to_f16(value));
  store(static_cast<double>(value));
}

void check_float_dtype(const SafetensorsTensor& tensor, const std::string& where) {
  if (!is_float_dtype(tensor.dtype))
    fail_input(where + ": tensor " + in_quotes(tensor.name), "expected dtype F64, F32, F16 or BF16, got ",
               tensor.dtype);
}

}  // namespace

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

SafetensorsFile load_safetensors(const std::filesystem::path& file) {
  const std::string where = file.string();
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) fail_input(where, "expected a safetensors file, found none");
  const std::uint64_t file_bytes = std::filesystem::file_size(file, error);
  if (error) fail_input(where, "cannot be read: ", error.message());
  check_longer_than_length(file_bytes, where);
  std::ifstream stream(file, std::ios::binary);
  const auto read = [&](void* target, std::uint64_t bytes) {
    if (!stream.read(static_cast<char*>(target), static_cast<std::streamsize>(bytes)))
      fail_input(where, "cannot be read");
  };
  std::byte length_bytes[kLengthBytes];
  read(length_bytes, kLengthBytes);
  const std::uint64_t length = read_length(length_bytes, file_bytes, where);
  std::string header(length, '\0');
  read(header.data(), length);
  SafetensorsFile contents;
  std::vector<Entry> entries = parse_header(header, file_bytes - kLengthBytes - length, contents, where);
  // Entries follow one another, so the file is read from front to back.
  read_tensors(
      std::move(entries), [&](std::uint64_t, std::span<std::byte> target) { read(target.data(), target.size()); },
      contents);
  return contents;
}

SafetensorsFile parse_safetensors(std::span<const std::byte> bytes, const std::string& where) {
  check_longer_than_length(bytes.size(), where);
  const std::uint64_t length = read_length(bytes.data(), bytes.size(), where);
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + length);
  SafetensorsFile contents;
  std::vector<Entry> entries = parse_header(header, data.size(), contents, where);
  read_tensors(
      std::move(entries),
      [&](std::uint64_t begin, std::span<std::byte> target) {
        std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(begin), target.size(), target.begin());
      },
      contents);
  return contents;
}

void save_safetensors(const std::filesystem::path& file, const SafetensorsFile& contents) {
  const std::string where = file.string();
  std::string header = "{";
  if (!contents.metadata.empty())
    header += '"' + std::string(kMetadataKey) +
              "\":" + nlohmann::json(contents.metadata).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::set<std::string_view> names{kMetadataKey};
  std::uint64_t offset = 0;
  for (const SafetensorsTensor& tensor : contents.tensors) {
    check(names.insert(tensor.name).second, "save_safetensors", "tensor name ", in_quotes(tensor.name),
          " twice, or reserved");
    check(dtype_bytes(tensor.dtype) != 0, "save_safetensors", "unknown dtype ", in_quotes(tensor.dtype));
    const bool positive = std::all_of(tensor.shape.begin(), tensor.shape.end(), [](auto size) { return size >= 0; });
    check(positive && checked_bytes(tensor, where) == tensor.bytes.size(), "save_safetensors", "tensor ",
          in_quotes(tensor.name), ": shape ", shape_text(tensor.shape), " of ", tensor.dtype, " disagrees with ",
          tensor.bytes.size(), " bytes");
    if (header.size() > 1) header += ',';
    header += nlohmann::json(tensor.name).dump() + ":{\"dtype\":\"" + tensor.dtype +
              "\",\"shape\":" + nlohmann::json(tensor.shape).dump() + ",\"data_offsets\":[" + std::to_string(offset) +
              ',' + std::to_string(offset + tensor.bytes.size()) + "]}";
    offset += tensor.bytes.size();
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  check(length <= kLongestSafetensorsHeader, "save_safetensors", "expected a header of at most ",
        kLongestSafetensorsHeader, " bytes, got ", length);
  AtomicFile output(file);
  output.write(&length, sizeof(length));
  output.write(header.data(), header.size());
  for (const SafetensorsTensor& tensor : contents.tensors) output.write(tensor.bytes.data(), tensor.bytes.size());
  output.commit();
}

std::size_t dtype_bytes(std::string_view dtype) {
  static constexpr std::pair<std::string_view, std::size_t> kBytes[] = {
      {"F32", 4},  {"F64", 8}, {"F16", 2},     {"BF16", 2},    {"I64", 8},    {"I32", 4},
      {"I16", 2},  {"I8", 1},  {"U64", 8},     {"U32", 4},     {"U16", 2},    {"U8", 1},
      {"BOOL", 1}, {"C64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}};
  for (const auto& [name, bytes] : kBytes)
    if (name == dtype) return bytes;
  return 0;
}

bool is_float_dtype(std::string_view dtype) {
  return dtype == "F32" || dtype == "F64" || dtype == "F16" || dtype == "BF16";
}

std::vector<float> read_floats(const SafetensorsTensor& tensor, const std::string& where, NonFinite non_finite) {
  check_float_dtype(tensor, where);
  std::vector<float> values(tensor.bytes.size() / dtype_bytes(tensor.dtype));
  if (tensor.dtype == "F32") {
    if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  } else {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = element(tensor, i);
  }
  if (non_finite == NonFinite::keep) return values;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail_input(where + ": tensor " + in_quotes(tensor.name), "expected finite numbers within float32, got ",
                 values[i], " at element ", i);
  return values;
}

void write_floats(SafetensorsTensor& tensor, std::span<const float> values, const std::string& where) {
  check_float_dtype(tensor, where);
  check(values.size() == tensor.bytes.size() / dtype_bytes(tensor.dtype), "write_floats", "expected ",
        tensor.bytes.size() / dtype_bytes(tensor.dtype), " numbers for tensor ", in_quotes(tensor.name), ", got ",
        values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(values[i]) == std::bit_cast<std::uint32_t>(element(tensor, i))) continue;
    set_element(tensor, i, values[i]);
    if (std::isfinite(values[i]) && !std::isfinite(element(tensor, i)))
      fail_input(where + ": tensor " + in_quotes(tensor.name), "element ", i, ": ", values[i],
                 " is beyond the range of ", tensor.dtype);
  }
}

SafetensorsTensor make_float_tensor(std::string name, std::vector<std::int64_t> shape, std::span<const float> values) {
  SafetensorsTensor tensor{std::move(name), "F32", std::move(shape), {}};
  const auto bytes = std::as_bytes(values);
  tensor.bytes.assign(bytes.begin(), bytes.end());
  return tensor;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

}  // namespace amend
