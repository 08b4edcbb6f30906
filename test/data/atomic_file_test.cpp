#include "metanet/data/atomic_file.hpp"

#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;

namespace {

/// The id of a process that has ended.
pid_t ended_process() {
  const pid_t process = ::fork();
  if (process == 0) ::_exit(0);
  ::waitpid(process, nullptr, 0);
  return process;
}

std::string temporary_of(pid_t process, int number) {
  return ".amend-" + std::to_string(process) + "-" + std::to_string(number) + ".tmp";
}

}  // namespace

TEST_CASE("folders of an output are made when it is committed, not before") {
  const TemporaryFolder folder;
  { AtomicFile file(folder / "new/er/a"); }
  { AtomicFolder other(folder / "new/er/b"); }
  CHECK(folder.entries() == 0);
  write_file_atomically(folder / "new/er/a", "text");
  CHECK(read_bytes(folder / "new/er/a") == "text");
  AtomicFolder made(folder / "other/b");
  write_bytes(made.temporary() / "inside", "x");
  made.commit();
  CHECK(read_bytes(folder / "other/b/inside") == "x");
  CHECK(folder.entries() == 2);
  write_bytes(folder / "file", "");
  CHECK_FALSE(input_error([&] { AtomicFile(folder / "file/a"); }).empty());
  CHECK_FALSE(input_error([&] { AtomicFolder(folder / "file/a/b"); }).empty());
}

TEST_CASE("what killed processes left is removed when the folder is written to, and nothing else") {
  const TemporaryFolder folder;
  const pid_t dead = ended_process();
  write_bytes(folder / temporary_of(dead, 0), "half of a file");
  std::filesystem::create_directory(folder / temporary_of(dead, 17));
  write_bytes(folder / temporary_of(dead, 17) / "manifest.json", "{");
  // Of running processes, of another container (locked), and of somebody else.
  const std::vector<std::string> kept = {temporary_of(::getppid(), 0),
                                         temporary_of(::getpid(), 1'000'000),
                                         temporary_of(dead, 1),
                                         ".amend-x-1.tmp",
                                         ".amend-1-.tmp",
                                         ".amend-1.tmp"};
  for (const std::string& name : kept) write_bytes(folder / name, "x");
  std::FILE* const locked = std::fopen((folder / temporary_of(dead, 1)).c_str(), "r");
  REQUIRE(locked != nullptr);
  REQUIRE(::flock(::fileno(locked), LOCK_EX | LOCK_NB) == 0);
  write_file_atomically(folder / "a", "text");
  std::fclose(locked);
  for (const std::string& name : kept) CHECK(std::filesystem::exists(folder / name));
  CHECK(folder.entries() == kept.size() + 1);
  AtomicFolder(folder / "b");
  CHECK_FALSE(std::filesystem::exists(folder / temporary_of(dead, 1)));
  CHECK(folder.entries() == kept.size());
}

TEST_CASE("a name that an earlier process of the same id left is passed over") {
  const TemporaryFolder folder;
  { AtomicFile probe(folder / "a"); }  // its number is below those of the next ones
  for (int number = 0; number < 2000; ++number) write_bytes(folder / temporary_of(::getpid(), number), "x");
  write_file_atomically(folder / "a", "text");
  CHECK(read_bytes(folder / "a") == "text");
}
