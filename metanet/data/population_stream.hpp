#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "metanet/data/atomic_file.hpp"
#include "metanet/data/population.hpp"
#include "metanet/data/safetensors_stream.hpp"

namespace amend {

/// A population folder whose weights stay on disk until they are asked for: memory holds the manifest and where the
/// weights of each network are.
class PopulationReader {
 public:
  /// Reads and checks the manifest and the header of the weights. Throws what `load_population` throws, but for numbers
  /// that are not finite.
  explicit PopulationReader(const std::filesystem::path& folder);

  /// Everything but weights and biases, which are empty.
  const Population& outline() const { return outline_; }

  /// Network `index` with its weights; the memory of `network` is used again. Threads may read at the same time. Throws
  /// InputError naming file and tensor for a number that is not finite, and when the file has become shorter.
  void read(std::size_t index, SubjectNetwork& network) const;

 private:
  /// Where the parameters of a layer begin in the data of the file.
  struct LayerPlace {
    std::uint64_t weight, bias;
  };

  std::string tensors_name_;
  Population outline_;
  SafetensorsReader tensors_;
  std::vector<LayerPlace> place_;         // of all layers, network after network
  std::vector<std::size_t> first_place_;  // per network
};

/// Writes a population folder as `save_population` does, with networks that come one by one.
class PopulationWriter {
 public:
  /// `outline` is the population but for the weights and biases, which are not looked at; it must outlive the writer.
  /// Throws what `save_population` throws.
  PopulationWriter(const Population& outline, const std::filesystem::path& folder);

  /// The network that comes next. Throws Error when it is another one than the outline says or not finite, InputError
  /// when it cannot be written.
  void write(const SubjectNetwork& network);

  /// The folder appears; without it nothing does, and what was there stays. Throws Error unless all networks were
  /// written.
  void commit();

 private:
  const Population* outline_;
  std::filesystem::path folder_;
  AtomicFolder output_;
  std::optional<SafetensorsWriter> tensors_;  // goes before the folder that it writes to
  std::size_t written_ = 0;
};

}  // namespace amend
