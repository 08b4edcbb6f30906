#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "metanet/data/atomic_file.hpp"
#include "metanet/data/safetensors.hpp"

namespace amend {

/// A tensor of a header: without its bytes, which are at [begin, end) of the data behind the header.
struct SafetensorsEntry {
  SafetensorsTensor tensor;
  std::uint64_t begin = 0, end = 0;
};

/// The header of a .safetensors file, its entries in the order of their bytes.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
  std::uint64_t data_begin = 0;  // in the file
};

using ReadBytes = std::function<void(std::uint64_t position, std::span<std::byte> target)>;

/// Reads and checks a header, as `load_safetensors` describes, of a file of `file_bytes` bytes that `read` reads.
SafetensorsHeader read_safetensors_header(std::uint64_t file_bytes, const ReadBytes& read, const std::string& where);

/// Bytes of a tensor by its dtype and shape, 0 for a dtype that is not known. Throws InputError beyond 63 bits.
std::uint64_t tensor_bytes(const SafetensorsTensor& tensor, const std::string& where);

/// Throws InputError `where: tensor "name": ...` for the first number that is not finite.
void check_finite(std::span<const float> values, const std::string& name, const std::string& where);

/// A file whose header is read and checked at once, and whose data are read piece by piece.
class SafetensorsReader {
 public:
  /// Throws what `load_safetensors` throws.
  explicit SafetensorsReader(const std::filesystem::path& file);

  /// Hands the header over; reading data does without it.
  SafetensorsHeader take_header() { return std::move(header_); }

  /// Data from byte `begin` on. Threads may read at the same time. Throws InputError when the file has become shorter.
  void read(std::uint64_t begin, std::span<std::byte> target) const;

 private:
  void read_file(std::uint64_t position, std::span<std::byte> target) const;

  struct Descriptor {
    Descriptor() = default;
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int value = -1;
  };

  std::string where_;
  Descriptor descriptor_;
  SafetensorsHeader header_;
  std::uint64_t data_begin_ = 0;
};

/// Writes a file as `save_safetensors` does, with data that come piece by piece.
class SafetensorsWriter {
 public:
  /// `tensors` says what there will be and in which order; bytes that it holds are not looked at.
  SafetensorsWriter(const std::filesystem::path& file, std::span<const SafetensorsTensor> tensors,
                    const std::map<std::string, std::string>& metadata);

  /// The data that come next.
  void write(std::span<const std::byte> data);
  /// The file appears. Throws Error unless all data were written.
  void commit();

 private:
  struct Plan {
    std::string header;
    std::uint64_t data_bytes = 0;
  };
  static Plan plan_of(std::span<const SafetensorsTensor> tensors, const std::map<std::string, std::string>& metadata,
                      const std::string& where);
  SafetensorsWriter(const std::filesystem::path& file, const Plan& plan);

  std::uint64_t missing_;
  AtomicFile output_;
};

}  // namespace amend
