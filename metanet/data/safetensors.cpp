#include "metanet/data/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/error.hpp"
#include "metanet/data/float16.hpp"
#include "metanet/data/json_reader.hpp"
#include "metanet/data/safetensors_stream.hpp"

namespace amend {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian, and bytes are copied as they are");

SafetensorsFile read_tensors(SafetensorsHeader header, const ReadBytes& read) {
  SafetensorsFile contents;
  contents.metadata = std::move(header.metadata);
  contents.tensors.reserve(header.entries.size());
  for (SafetensorsEntry& entry : header.entries) {
    entry.tensor.bytes.resize(entry.end - entry.begin);
    read(entry.begin, entry.tensor.bytes);
    contents.tensors.push_back(std::move(entry.tensor));
  }
  return contents;
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
  SafetensorsReader reader(file);
  return read_tensors(reader.take_header(),
                      [&](std::uint64_t begin, std::span<std::byte> target) { reader.read(begin, target); });
}

SafetensorsFile parse_safetensors(std::span<const std::byte> bytes, const std::string& where) {
  const auto copy = [&](std::uint64_t position, std::span<std::byte> target) {
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(position), target.size(), target.begin());
  };
  SafetensorsHeader header = read_safetensors_header(bytes.size(), copy, where);
  const std::uint64_t data_begin = header.data_begin;
  return read_tensors(std::move(header),
                      [&](std::uint64_t begin, std::span<std::byte> target) { copy(data_begin + begin, target); });
}

void save_safetensors(const std::filesystem::path& file, const SafetensorsFile& contents) {
  SafetensorsWriter writer(file, contents.tensors, contents.metadata);
  for (const SafetensorsTensor& tensor : contents.tensors) {
    check(tensor_bytes(tensor, file.string()) == tensor.bytes.size(), "save_safetensors", "tensor ",
          in_quotes(tensor.name), ": shape ", shape_text(tensor.shape), " of ", tensor.dtype, " disagrees with ",
          tensor.bytes.size(), " bytes");
    writer.write(tensor.bytes);
  }
  writer.commit();
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
  if (non_finite == NonFinite::reject) check_finite(values, tensor.name, where);
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
