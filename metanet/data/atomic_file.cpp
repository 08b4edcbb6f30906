#include "metanet/data/atomic_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>

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

/// The folder of `target` or, until it is made, the nearest above it that is there.
fs::path nearest_folder(const fs::path& target) {
  std::error_code error;
  fs::path folder = target.parent_path();
  while (folder.has_relative_path() && !fs::exists(fs::symlink_status(folder, error))) folder = folder.parent_path();
  return folder;
}

constexpr std::string_view kPrefix = ".amend-", kSuffix = ".tmp";

/// A name in `folder` that no other running process uses. It does not contain the target's, which may be as long as
/// names can be.
fs::path temporary_name(const fs::path& folder) {
  static std::atomic<unsigned> counter{0};
  return folder / (std::string(kPrefix) + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1)) +
                   std::string(kSuffix));
}

/// The process in the name of a temporary file or folder; 0 when it is none.
pid_t owner_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return 0;
  const char* const end = name.data() + name.size() - kSuffix.size();
  pid_t process = 0;
  unsigned number = 0;
  const auto [dash, error] = std::from_chars(name.data() + kPrefix.size(), end, process);
  if (error != std::errc() || dash == end || *dash != '-' || process <= 0) return 0;
  const auto [last, number_error] = std::from_chars(dash + 1, end, number);
  return number_error == std::errc() && last == end ? process : 0;
}

/// Whether nobody writes to `temporary`: its lock is free. Ids of processes alone mean nothing to another container.
bool abandoned(const fs::path& temporary) {
  const int descriptor = ::open(temporary.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool is_free = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  ::close(descriptor);
  return is_free;
}

/// Removes what processes that were killed left in `folder`.
void remove_abandoned(const fs::path& folder) {
  std::error_code error, ignored;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const pid_t process = owner_of(entry->path().filename().string());
    if (process == 0 || process == ::getpid() || ::kill(process, 0) == 0 || errno != ESRCH) continue;
    if (abandoned(entry->path())) fs::remove_all(entry->path(), ignored);
  }
}

/// Marks a temporary as in use. Where there are no locks, that its process runs must do.
void lock(int descriptor) {
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) errno = 0;
}

void synchronise(const fs::path& path, const fs::path& target) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_system(target, "synchronise", errno);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // EINVAL: a file system without synchronisation of this kind of object.
  if (code != 0 && code != EINVAL) fail_system(target, "synchronise", code);
}

/// Synchronises the folder of `target` and those above it up to `top`, which may be new.
void synchronise_folders(const fs::path& target, const fs::path& top) {
  for (fs::path folder = target.parent_path();; folder = folder.parent_path()) {
    synchronise(folder, target);
    if (folder == top || !folder.has_relative_path()) return;
  }
}

/// Puts folder `from` in the place of folder `to`; what was there is at `from` afterwards.
void exchange_folders(const fs::path& from, const fs::path& to) {
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) fail_system(to, "replace", errno);
#endif
  const fs::path aside = temporary_name(to.parent_path());
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
  struct stat existing {};
  const bool exists = ::stat(target_.c_str(), &existing) == 0;
  // Renaming over a device or a pipe would remove it.
  if (exists && !S_ISREG(existing.st_mode))
    fail_input(target_.string(), "expected a regular file or none, found another kind");
  const fs::path folder = nearest_folder(target_);
  remove_abandoned(folder);
  do {
    temporary_ = temporary_name(folder);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail_system(target_, "be written", errno);
  lock(descriptor_);
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
  make_parent(target_);
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail_system(target_, "be replaced", errno);
  ::close(descriptor_);
  descriptor_ = -1;
  synchronise_folders(target_, temporary_.parent_path());
}

void write_file_atomically(const fs::path& target, std::string_view contents) {
  AtomicFile file(target);
  file.write(contents.data(), contents.size());
  file.commit();
}

AtomicFolder::AtomicFolder(const fs::path& target) : target_(resolve(target)) {
  const fs::path folder = nearest_folder(target_);
  remove_abandoned(folder);
  fs::path temporary;
  int made = 0;
  do {
    temporary = temporary_name(folder);
    made = ::mkdir(temporary.c_str(), 0777);
  } while (made != 0 && errno == EEXIST);
  if (made != 0) fail_system(target_, "be written", errno);
  temporary_ = temporary;
  descriptor_ = ::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ >= 0) lock(descriptor_);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AtomicFolder::commit() {
  check(!temporary_.empty(), "atomic_folder", "expected one commit");
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(temporary_, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
    synchronise(entry->path(), target_);
  if (error) fail_input(target_.string(), "cannot be written: ", error.message());
  synchronise(temporary_, target_);
  const fs::path folder = temporary_.parent_path();
  make_parent(target_);
  if (fs::exists(fs::symlink_status(target_, error))) {
    if (!fs::is_directory(target_, error)) fail_input(target_.string(), "expected a folder or nothing, found a file");
    exchange_folders(temporary_, target_);
    fs::remove_all(temporary_, error);
  } else if (std::rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail_system(target_, "be written", errno);
  }
  temporary_.clear();
  synchronise_folders(target_, folder);
}

}  // namespace amend
