#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace amend {

/// One tensor as it is stored: row-major, little-endian bytes of `dtype` (F64, F32, F16, BF16, I64, ..., BOOL).
struct SafetensorsTensor {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// The contents of a .safetensors file (https://github.com/huggingface/safetensors, section Format). Tensors are in the
/// order of their bytes, which is the order Python's library lists them in.
struct SafetensorsFile {
  std::vector<SafetensorsTensor> tensors;
  std::map<std::string, std::string> metadata;

  /// Null when there is no such tensor. Linear in the number of tensors.
  const SafetensorsTensor* find(std::string_view name) const;
};

/// Longest header that is read, the limit of the reference implementation.
inline constexpr std::uint64_t kLongestSafetensorsHeader = 100'000'000;

/// Reads and checks a whole file: header length, JSON without duplicate keys, known dtypes, shapes that agree with byte
/// ranges, ranges that cover the data without gap or overlap. Throws InputError naming file and tensor.
SafetensorsFile load_safetensors(const std::filesystem::path& file);
/// The same from memory; messages begin with `where`.
SafetensorsFile parse_safetensors(std::span<const std::byte> contents, const std::string& where);

/// Writes tensors in the order given, atomically, the header padded so that data begin at a multiple of 8. Throws Error
/// when a tensor contradicts itself or a name appears twice, InputError when the file cannot be written.
void save_safetensors(const std::filesystem::path& file, const SafetensorsFile& contents);

/// Bytes of one element; 0 for a dtype that is not known.
std::size_t dtype_bytes(std::string_view dtype);
/// Whether `read_floats` and `write_floats` convert it: F64, F32, F16, BF16.
bool is_float_dtype(std::string_view dtype);

enum class NonFinite : std::uint8_t { reject, keep };

/// Elements as float32, rounded to nearest even from F64. Throws InputError `where: tensor "name": ...` for another
/// dtype and, unless kept, for the first element that is not finite or beyond float32.
std::vector<float> read_floats(const SafetensorsTensor& tensor, const std::string& where,
                               NonFinite non_finite = NonFinite::reject);

/// Replaces the elements that differ from what `read_floats` returns, rounded to nearest even; all others keep their
/// bytes, so that an F64 tensor does not lose what float32 cannot hold. `values` has one number per element. Throws
/// InputError when a finite number is beyond the range of the dtype.
void write_floats(SafetensorsTensor& tensor, std::span<const float> values, const std::string& where);

/// A new F32 tensor.
SafetensorsTensor make_float_tensor(std::string name, std::vector<std::int64_t> shape, std::span<const float> values);

/// `[32, 14]`.
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace amend
