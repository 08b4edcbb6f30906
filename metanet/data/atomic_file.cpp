#include "metanet/data/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "engine/error.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_system(const fs::path& target, const char* action, int code) {
  fail_input(target.string(), "cannot ", action, ": ", std::strerror(code));
}

/// Absolute, without a trailing slash, and the file itself where `target` is a link to one: a rename would replace the
/// link.
fs::path resolve(const fs::path& target) {
  if (target.empty()) fail_input("output", "expected a path, got an empty one");
  std::error_code error;
  fs::path path = fs::absolute(target, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (fs::is_symlink(path, error)) {
    const fs::path linked = fs::canonical(path, error);
    if (!error) path = linked;
  }
  return path;
}

void make_parent(const fs::path& target) {
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) fail_input(target.string(), "cannot make its folder: ", error.message());
}

/// A name nobody else uses. It does not contain the target's, which may be as long as names can be.
fs::path temporary_sibling(const fs::path& target) {
  static std::atomic<unsigned> counter{0};
  return target.parent_path() /
         (".amend-" + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1)) + ".tmp");
}

void synchronise(const fs::path& path, const fs::path& target) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_system(target, "synchronise", errno);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // EINVAL: a file system without synchronisation of this kind of object.
  if (code != 0 && code != EINVAL) fail_system(target, "synchronise", code);
}

/// Puts folder `from` in the place of folder `to`; what was there is at `from` afterwards.
void exchange_folders(const fs::path& from, const fs::path& to) {
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) fail_system(to, "replace", errno);
#endif
  const fs::path aside = temporary_sibling(to);
  if (std::rename(to.c_str(), aside.c_str()) != 0) fail_system(to, "replace", errno);
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    const int code = errno;
    std::rename(aside.c_str(), to.c_str());
    fail_system(to, "replace", code);
  }
  std::rename(aside.c_str(), from.c_str());
}

}  // namespace

AtomicFile::AtomicFile(const fs::path& target) : target_(resolve(target)) {
  make_parent(target_);
  struct stat existing {};
  const bool exists = ::stat(target_.c_str(), &existing) == 0;
  // Renaming over a device or a pipe would remove it.
  if (exists && !S_ISREG(existing.st_mode))
    fail_input(target_.string(), "expected a regular file or none, found another kind");
  temporary_ = temporary_sibling(target_);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_system(target_, "be written", errno);
  // Keeping the mode is a courtesy; where it is refused, the mode of a new file will do.
  if (exists && ::fchmod(descriptor_, existing.st_mode & 07777) != 0) errno = 0;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  check(descriptor_ >= 0, "atomic_file", "expected no write after commit");
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_system(target_, "be written", errno);
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  check(descriptor_ >= 0, "atomic_file", "expected one commit");
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail_system(target_, "be written", errno);
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail_system(target_, "be replaced", errno);
  ::close(descriptor_);
  descriptor_ = -1;
  synchronise(target_.parent_path(), target_);
}

void write_file_atomically(const fs::path& target, std::string_view contents) {
  AtomicFile file(target);
  file.write(contents.data(), contents.size());
  file.commit();
}

AtomicFolder::AtomicFolder(const fs::path& target) : target_(resolve(target)) {
  make_parent(target_);
  const fs::path temporary = temporary_sibling(target_);
  if (::mkdir(temporary.c_str(), 0777) != 0) fail_system(target_, "be written", errno);
  temporary_ = temporary;
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  check(!temporary_.empty(), "atomic_folder", "expected one commit");
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(temporary_, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
    synchronise(entry->path(), target_);
  if (error) fail_input(target_.string(), "cannot be written: ", error.message());
  synchronise(temporary_, target_);
  if (fs::exists(fs::symlink_status(target_, error))) {
    if (!fs::is_directory(target_, error)) fail_input(target_.string(), "expected a folder or nothing, found a file");
    exchange_folders(temporary_, target_);
    fs::remove_all(temporary_, error);
  } else if (std::rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail_system(target_, "be written", errno);
  }
  temporary_.clear();
  synchronise(target_.parent_path(), target_);
}

}  // namespace amend
