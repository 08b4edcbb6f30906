#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <string>

#include "engine/error.hpp"
#include "test/support/obstacle.hpp"
#include "test/support/twin_device.hpp"

#ifdef __SANITIZE_ADDRESS__
// Tests ask for more memory than there is and expect an exception.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif

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

/// Its tags, the folders of test/ it lies in, and the name of its file without `_test`.
std::set<std::string> labels(const Catch::TestCase& test) {
  std::set<std::string> labels(test.tags.begin(), test.tags.end());
  const auto file = std::filesystem::path(test.lineInfo.file).lexically_relative(AMEND_SOURCE_DIR "/test");
  for (const auto& folder : file.parent_path()) labels.insert(folder.string());
  std::string stem = file.stem().string();
  labels.insert(stem.substr(0, stem.rfind("_test")));
  return labels;
}

/// A CMake script that registers every test with ctest. The longest ones, of whole devices, are to start first.
int write_ctest(const std::string& path, const Catch::Config& config, const std::string& program) {
  std::ofstream out(path);
  for (const Catch::TestCase& test : Catch::getAllTestCasesSorted(config)) {
    if (test.isHidden()) continue;
    out << "add_test([==[" << test.name << "]==] [==[" << program << "]==] [==[" << exact_spec(test.name)
        << "]==] -w NoTests)\nset_tests_properties([==[" << test.name << "]==] PROPERTIES LABELS [==[";
    const char* separator = "";
    const std::set<std::string> own = labels(test);
    for (const std::string& label : own) {
      out << separator << label;
      separator = ";";
    }
    out << "]==]" << (own.contains("device") ? " COST 100" : "") << ")\n";
  }
  out.close();
  if (out) return 0;
  std::cerr << "cannot write " << path << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  std::string ctest_file;
  session.cli(session.cli() |
              Catch::clara::Opt(ctest_file, "file")["--write-ctest"]("write a CMake script that registers the tests"));
  if (const int status = session.applyCommandLine(argc, argv); status != 0) return status;
  if (!ctest_file.empty())
    return write_ctest(ctest_file, session.config(), std::filesystem::canonical("/proc/self/exe").string());
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
