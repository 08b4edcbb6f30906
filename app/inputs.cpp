#include "app/inputs.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "engine/error.hpp"
#include "metanet/data/atomic_file.hpp"
#include "metanet/data/recorded_path.hpp"
#include "metanet/data/sha256.hpp"

namespace amend {
namespace {

namespace fs = std::filesystem;

void refuse_existing(const fs::path& path, bool force) {
  if (!force) fail_input(path.string(), "exists already; --force replaces it");
}

/// Whether `path` is `top` or lies below it.
bool lies_in(fs::path path, const fs::path& top) {
  std::error_code error;
  path = fs::canonical(path, error);
  if (error) return false;
  for (;; path = path.parent_path()) {
    if (fs::equivalent(path, top, error)) return true;
    if (!path.has_relative_path()) return false;
  }
}

/// The dataset of `reference` where it may have moved to, if it is there. What is not it may not even be a dataset.
std::optional<Dataset> find_moved_dataset(const DatasetReference& reference) {
  if (reference.fingerprint.empty()) return std::nullopt;
  for (const fs::path& candidate : moved_paths(reference.source, reference.owner)) {
    try {
      Dataset dataset = load_dataset(candidate);
      if (dataset.fingerprint == reference.fingerprint) return dataset;
    } catch (const InputError&) {
      continue;
    }
  }
  return std::nullopt;
}

}  // namespace

InputKind kind_of(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail_input(path.string(), "not found");
  if (fs::is_directory(status)) {
    if (fs::exists(path / "manifest.json", error)) return InputKind::population;
    fail_input(path.string(), "expected a population folder, found no manifest.json in it");
  }
  if (path.extension() == ".safetensors") return InputKind::safetensors;
  if (path.filename() == "manifest.json")
    fail_input(path.string(), "give the population's folder, `", path.parent_path().string(), "`");
  fail_input(path.string(), "expected a population folder or a .safetensors file",
             path.extension() == ".pt" || path.extension() == ".pth"
                 ? "; save the model with safetensors.torch.save_file(model.state_dict(), path)"
                 : "");
}

ModelFile load_model(const fs::path& file, const ModelDescription& description) {
  std::optional<fs::path> yaml;
  std::optional<Activation> activation;
  if (!description.file.empty()) yaml = description.file;
  if (!description.activation.empty()) activation = parse_activation(description.activation, "--activation");
  return load_model_file(file, yaml, activation);
}

Dataset load_referenced_dataset(const std::string& given, const DatasetReference& reference) {
  std::error_code error;
  if (given.empty() && reference.source.empty())
    fail_input(reference.owner, "does not say which dataset it belongs to; name its description with --data");
  if (given.empty() && !fs::exists(reference.source, error)) {
    if (std::optional<Dataset> moved = find_moved_dataset(reference)) return std::move(*moved);
    fail_input(reference.owner, "was made with the dataset description `", reference.source.string(),
               "`, which is not there; say where it is with --data");
  }
  Dataset dataset = load_dataset(given.empty() ? reference.source : fs::path(given));
  if (!reference.fingerprint.empty() && dataset.fingerprint != reference.fingerprint)
    fail_input(reference.owner, "was made with the dataset `", reference.name, "` (fingerprint ",
               reference.fingerprint.substr(0, 12), "), but ", dataset.source.string(), " is `", dataset.name, "` (",
               dataset.fingerprint.substr(0, 12), ")");
  return dataset;
}

void check_output_file(const fs::path& file, bool force) {
  std::error_code error;
  if (fs::is_directory(file, error)) fail_input(file.string(), "expected a file to write, found a folder");
  if (fs::exists(fs::symlink_status(file, error))) refuse_existing(file, force);
  AtomicFile probe(file);  // opens a temporary sibling and removes it again
}

void check_not_read(const fs::path& output, const std::vector<fs::path>& inputs) {
  for (const fs::path& input : inputs)
    if (!input.empty() && (lies_in(output, input) || lies_in(input, output)))
      fail_input("--out", "`", output.string(), "` would replace `", input.string(),
                 "`, which this command reads; --force does not change that");
}

void check_safetensors_name(const fs::path& file) {
  if (file.extension() != ".safetensors")
    fail_input("--out", "expected a name that ends in .safetensors, got `", file.string(), "`");
}

void check_output_population(const fs::path& folder, bool force) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(folder, error))) {
    if (!fs::is_directory(folder, error)) fail_input(folder.string(), "expected a folder or nothing, found a file");
    bool empty = true;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      empty = false;
      const std::string name = entry.path().filename().string();
      if (name != "manifest.json" && name != "networks.safetensors")
        fail_input(folder.string(), "exists and holds `", name, "`; only a population is ever replaced");
    }
    if (!empty) refuse_existing(folder, force);
  }
  AtomicFolder probe(folder);
}

std::string file_checksum(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  Sha256 checksum;
  std::string chunk(1 << 20, '\0');
  while (stream.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || stream.gcount() > 0)
    checksum.update(std::string_view(chunk.data(), static_cast<std::size_t>(stream.gcount())));
  if (stream.bad() || !stream.eof()) fail_input(file.string(), "cannot be read: ", std::strerror(errno));
  return checksum.hex();
}

std::optional<PopulationSplit> parse_population_split(const std::string& text) {
  if (text == "all") return std::nullopt;
  for (const auto split : {PopulationSplit::train, PopulationSplit::validation, PopulationSplit::test})
    if (text == to_string(split)) return split;
  fail_input("--split", "expected train, validation, test or all, got `", text, "`");
}

}  // namespace amend
