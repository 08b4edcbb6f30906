// Rules about the source tree itself: who may include whom, which files an operation owns, how long a file may be.

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

const fs::path kRoot = AMEND_SOURCE_DIR;
/// Lowest first: a layer includes itself and what stands before it.
constexpr std::array kLayers = {"engine", "kernels", "autograd", "metanet", "requirements", "bench", "app"};
constexpr int kMaxLines = 500;

/// Position in kLayers, or -1.
int layer_of(const fs::path& path) {
  const auto found = std::find(kLayers.begin(), kLayers.end(), path.begin()->string());
  return found == kLayers.end() ? -1 : static_cast<int>(found - kLayers.begin());
}

std::vector<std::string> lines_of(std::istream& in) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> read_lines(const fs::path& relative) {
  std::ifstream in(kRoot / relative);
  return lines_of(in);
}

/// Sources and headers of all layers, relative to the root.
std::vector<fs::path> layer_files() {
  std::vector<fs::path> files;
  for (const char* layer : kLayers) {
    if (!fs::exists(kRoot / layer)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / layer)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".hpp" || extension == ".cpp" || extension == ".cu" || extension == ".cuh")
        files.push_back(entry.path().lexically_relative(kRoot));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

struct Include {
  bool quoted;
  std::string path;  // empty when the line is no include
};

Include parse_include(std::string line) {
  std::erase_if(line, [](char c) { return c == ' ' || c == '\t'; });
  if (!line.starts_with("#include\"") && !line.starts_with("#include<")) return {false, ""};
  const bool quoted = line[8] == '"';
  return {quoted, line.substr(9, line.find(quoted ? '"' : '>', 9) - 9)};
}

/// What the includes of `file` break, one sentence each.
std::vector<std::string> include_violations(const fs::path& file, const std::vector<std::string>& lines) {
  std::vector<std::string> violations;
  for (const std::string& line : lines) {
    const auto [quoted, target] = parse_include(line);
    if (target.empty()) continue;
    const int layer = layer_of(target);
    if (quoted && layer < 0)
      violations.push_back(file.string() + " includes \"" + target + "\": not a path from the repository root");
    if (layer > layer_of(file)) violations.push_back(file.string() + " includes " + target + ", a layer above its own");
    // nvcc cannot compile fmt's consteval checks, so the library stays out of whatever a .cu file may include.
    const bool formats = target.starts_with("fmt/") || target.starts_with("spdlog/");
    if (formats && (file.extension() != ".cpp" || layer_of(file) < layer_of("metanet")))
      violations.push_back(file.string() + " includes " + target + ", which only .cpp files from metanet upwards may");
  }
  return violations;
}

bool any_line_starts_with(const std::vector<std::string>& lines, const std::string& prefix) {
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return line.starts_with(prefix); });
}

struct Stem {
  std::string name;
  bool has_tape_rule;
};

/// The stem whose header has these lines; no name when it declares no kernel.
Stem read_stem(const fs::path& header, const std::vector<std::string>& lines) {
  static const std::string kExempt = "// No tape rule: ";
  if (!any_line_starts_with(lines, "AMEND_DECLARE_KERNEL(")) return {"", false};
  // The reason is part of the exemption.
  const bool exempt = std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.starts_with(kExempt) && line.size() > kExempt.size();
  });
  return {header.stem().string(), !exempt};
}

std::vector<Stem> stems() {
  std::vector<Stem> stems;
  for (const auto& entry : fs::directory_iterator(kRoot / "kernels")) {
    if (entry.path().extension() != ".hpp") continue;
    const fs::path header = entry.path().lexically_relative(kRoot);
    if (Stem stem = read_stem(header, read_lines(header)); !stem.name.empty()) stems.push_back(stem);
  }
  return stems;
}

std::vector<std::string> lines_of_text(const std::string& text) {
  std::istringstream in(text);
  return lines_of(in);
}

}  // namespace

TEST_CASE("no layer includes one above it", "[structure]") {
  const std::vector<fs::path> files = layer_files();
  REQUIRE(files.size() > 10);
  for (const fs::path& file : files)
    for (const std::string& violation : include_violations(file, read_lines(file))) FAIL_CHECK(violation);
}

TEST_CASE("the include check sees what it must", "[structure]") {
  const auto count = [](const char* file, const char* text) {
    return include_violations(file, lines_of_text(text)).size();
  };
  CHECK(count("engine/a.hpp", "#include \"kernels/linear.hpp\"") == 1);
  CHECK(count("engine/a.hpp", "  #  include <metanet/model/model.hpp>") == 1);
  CHECK(count("kernels/cpu/a.cpp", "#include \"../autograd/tape.hpp\"") == 1);
  CHECK(count("kernels/cpu/a.cpp", "#include \"gemm.hpp\"\n#include \"app/x.hpp\"\n") == 2);
  CHECK(count("kernels/a.hpp", "#include <fmt/format.h>") == 1);
  CHECK(count("metanet/a.hpp", "#include <fmt/format.h>") == 1);
  CHECK(count("metanet/a.cpp", "#include <fmt/format.h>") == 0);
  CHECK(count("app/a.cpp", "#include \"engine/error.hpp\"\n#include <vector>\n#include \"app/b.hpp\"") == 0);
  CHECK(count("engine/a.hpp", "// above: autograd/tape.hpp") == 0);
}

TEST_CASE("every stem owns its files", "[structure]") {
  const std::vector<std::string> numerics = read_lines("docs/numerics.md");
  const std::vector<Stem> all = stems();
  REQUIRE_FALSE(all.empty());
  for (const Stem& stem : all) {
    std::vector<fs::path> files = {fs::path("kernels/cpu") / (stem.name + ".cpp"),
                                   fs::path("test/op") / (stem.name + "_test.cpp")};
    if (stem.has_tape_rule) files.push_back(fs::path("autograd/op") / (stem.name + ".cpp"));
    for (const fs::path& file : files)
      if (!fs::exists(kRoot / file))
        FAIL_CHECK("kernels/" << stem.name << ".hpp declares a kernel, but there is no " << file);
    if (!any_line_starts_with(numerics, "| `" + stem.name + "`"))
      FAIL_CHECK("docs/numerics.md has no row that starts with | `" << stem.name << "`");
  }
}

TEST_CASE("every CUDA twin belongs to a stem and is compared with the CPU", "[structure]") {
  std::vector<std::string> tests;
  for (const auto& entry : fs::directory_iterator(kRoot / "test/cuda"))
    for (const std::string& line : read_lines(entry.path().lexically_relative(kRoot))) tests.push_back(line);
  for (const auto& entry : fs::directory_iterator(kRoot / "kernels/cuda")) {
    if (entry.path().extension() != ".cu") continue;
    const fs::path header = fs::path("kernels") / (entry.path().stem().string() + ".hpp");
    if (!fs::exists(kRoot / header)) FAIL_CHECK(entry.path() << " has no header " << header);
    for (const std::string& line : read_lines(header))
      if (line.starts_with("AMEND_DECLARE_KERNEL(") && !any_line_starts_with(tests, "AMEND_TWINS" + line.substr(20)))
        FAIL_CHECK("no test in test/cuda has AMEND_TWINS" << line.substr(20));
  }
}

TEST_CASE("every tape rule belongs to a stem", "[structure]") {
  for (const fs::path& file : layer_files()) {
    if (file.parent_path() != "autograd/op" || file.extension() != ".cpp") continue;
    if (!fs::exists(kRoot / "kernels" / (file.stem().string() + ".hpp")))
      FAIL_CHECK(file.string() << " has no header in kernels/");
  }
}

TEST_CASE("a stem is known by its declaration", "[structure]") {
  const auto read = [](const char* text) { return read_stem("kernels/linear.hpp", lines_of_text(text)); };
  CHECK(read("#pragma once\nAMEND_DECLARE_KERNEL(linear_forward, Linear)").name == "linear");
  CHECK(read("AMEND_DECLARE_KERNEL(linear_forward, Linear)").has_tape_rule);
  CHECK_FALSE(read("// No tape rule: an optimiser.\nAMEND_DECLARE_KERNEL(adamw, AdamW)").has_tape_rule);
  CHECK(read("// No tape rule: \nAMEND_DECLARE_KERNEL(adamw, AdamW)").has_tape_rule);
  CHECK(read("#define AMEND_DECLARE_KERNEL(name, Args)").name.empty());
}

TEST_CASE("no file is longer than 500 lines", "[structure]") {
  for (const fs::path& file : layer_files()) {
    const std::size_t lines = read_lines(file).size();
    if (lines > kMaxLines) FAIL_CHECK(file.string() << " has " << lines << " lines");
  }
}
