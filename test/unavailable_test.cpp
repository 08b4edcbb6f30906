// A build without CUDA has a stub for every kernel.

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "kernels/fill.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

/// `name, Args` of every line `macro(name, Args)...` of a file.
std::set<std::string> invocations(const fs::path& file, const std::string& macro) {
  std::set<std::string> found;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(macro + "(")) found.insert(line.substr(macro.size() + 1, line.find(')') - macro.size() - 1));
  return found;
}

TEST_CASE("every declared kernel has a CUDA stub, and no stub is left over") {
  const fs::path folder = fs::path(AMEND_SOURCE_DIR) / "kernels";
  std::set<std::string> declared;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".hpp") declared.merge(invocations(entry.path(), "AMEND_DECLARE_KERNEL"));
  REQUIRE(declared.size() > 30);
  const std::set<std::string> stubs = invocations(folder / "unavailable.cpp", "AMEND_UNAVAILABLE");
  for (const std::string& kernel : declared)
    if (!stubs.contains(kernel)) FAIL_CHECK("kernels/unavailable.cpp lacks AMEND_UNAVAILABLE(" << kernel << ")");
  for (const std::string& stub : stubs)
    if (!declared.contains(stub)) FAIL_CHECK("kernels/unavailable.cpp has a stub of no kernel: " << stub);
}

#ifndef AMEND_CUDA_KERNELS
TEST_CASE("a CUDA stream in a build without CUDA says what is missing") {
  CHECK_THROWS_WITH(kernels::fill({}, Stream(Device::cuda(), nullptr)),
                    "[fill] this build of amend has no CUDA twin of this kernel");
}
#endif

}  // namespace
}  // namespace amend
