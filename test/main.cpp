#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <string>

#include "engine/error.hpp"
#include "test/support/obstacle.hpp"
#include "test/support/twin_device.hpp"

// For AddressSanitizer: tests ask for more memory than there is and expect an exception.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

namespace {

/// The argument that selects exactly the test `name`: Catch2 gives these characters a meaning in a selection.
std::string exact_spec(const std::string& name) {
  std::string spec;
  for (char c : name) {
    if (c == '\\' || c == ',' || c == '[' || c == '"') spec += '\\';
    spec += c;
  }
  return spec;
}

/// The file of a test, from test/ and without `_test.cpp`.
std::filesystem::path file_of(const Catch::TestCase& test) {
  auto file = std::filesystem::path(test.lineInfo.file).lexically_relative(AMEND_SOURCE_DIR "/test");
  const std::string stem = file.stem().string();
  return file.replace_filename(stem.substr(0, stem.rfind("_test")));
}

/// Its tags, the folders of test/ it lies in, and the name of its file without `_test`.
std::set<std::string> labels(const Catch::TestCase& test) {
  std::set<std::string> labels(test.tags.begin(), test.tags.end());
  for (const auto& part : file_of(test)) labels.insert(part.string());
  return labels;
}

std::string joined(const std::set<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

/// What ctest runs in one process: tests with the same labels.
struct CtestEntry {
  std::set<std::string> labels, specs;
};

/// A CMake script that registers the tests with ctest: each on its own, or those of a file with the same labels
/// together. The longest ones, of whole devices, are to start first.
int write_ctest(const std::string& path, bool by_file, const Catch::Config& config, const std::string& program) {
  std::map<std::string, CtestEntry> entries;
  for (const Catch::TestCase& test : Catch::getAllTestCasesSorted(config)) {
    if (test.isHidden()) continue;
    const std::set<std::string> own = labels(test);
    const std::set<std::string> tags(test.tags.begin(), test.tags.end());
    CtestEntry& entry =
        entries[by_file ? file_of(test).string() + (tags.empty() ? "" : ": " + joined(tags, " ")) : test.name];
    entry.labels = own;
    entry.specs.insert(exact_spec(test.name));
  }
  std::ofstream out(path);
  for (const auto& [name, entry] : entries)
    out << "add_test([==[" << name << "]==] [==[" << program << "]==] [==[" << joined(entry.specs, ",")
        << "]==] -w NoTests)\nset_tests_properties([==[" << name << "]==] PROPERTIES LABELS [==["
        << joined(entry.labels, ";") << "]==]" << (entry.labels.contains("device") ? " COST 100" : "") << ")\n";
  out.close();
  if (out) return 0;
  std::cerr << "cannot write " << path << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  std::string ctest_file;
  bool by_file = false;
  session.cli(session.cli() |
              Catch::clara::Opt(ctest_file, "file")["--write-ctest"]("write a CMake script that registers the tests") |
              Catch::clara::Opt(by_file)["--by-file"]("those of a file together, in --write-ctest"));
  if (const int status = session.applyCommandLine(argc, argv); status != 0) return status;
  if (!ctest_file.empty())
    return write_ctest(ctest_file, by_file, session.config(), std::filesystem::canonical("/proc/self/exe").string());
  const Catch::ConfigData& config = session.configData();
  if (config.listTests || config.listTestNamesOnly || config.listTags) return session.run();
  if (const std::string reason = amend::test::obstacle ? amend::test::obstacle() : ""; !reason.empty()) {
    std::cerr << config.processName << ": no test was run: " << reason << '\n';
    return 77;
  }
  try {
    amend::test::twin_device();
  } catch (const amend::InputError& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return session.run();
}
