#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace amend {

/// A file that appears whole or not at all: written to a temporary sibling, synchronised to disk, then renamed over
/// `target`. `commit` makes missing parent folders; until then the temporary file is in the nearest that is there.
/// Without `commit` (an exception, an early return) the target stays as it was and the temporary file is removed; what
/// a killed process left is removed when something is written to the same folder. Every failure is an InputError naming
/// the target.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;
};

/// Writes `contents` as the whole of `target`, as AtomicFile does.
void write_file_atomically(const std::filesystem::path& target, std::string_view contents);

/// A folder that appears whole or not at all. Files are put into `temporary()`; `commit` synchronises them and renames
/// the folder to `target`. A folder already there is exchanged in one step and then removed with all it holds (where
/// the file system cannot exchange, it is moved aside first). Whether it may be replaced is for the caller to check.
class AtomicFolder {
 public:
  explicit AtomicFolder(const std::filesystem::path& target);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& temporary() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;  // of the temporary folder: holds its lock
};

}  // namespace amend
