#include "metanet/data/population_stream.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/error.hpp"
#include "metanet/data/config.hpp"
#include "metanet/data/json_reader.hpp"

namespace amend {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr char kPopulationFormat[] = "amend-population";
constexpr int kPopulationVersion = 1;
constexpr char kManifestName[] = "manifest.json";
constexpr char kTensorsName[] = "networks.safetensors";
constexpr int kWidestLayer = 1 << 24;

constexpr std::array<PopulationSplit, 3> kSplits{PopulationSplit::train, PopulationSplit::validation,
                                                 PopulationSplit::test};

/// Keys of a network that are members of SubjectNetwork and Population; all others are its attributes.
const std::vector<std::string> kNetworkKeys{"name", "run", "split", "widths", "activation"};

std::string tensor_name(const std::string& network, int layer, const char* kind) {
  return network + '.' + std::to_string(layer) + '.' + kind;
}

PopulationSplit parse_split(const std::string& text, const std::string& where) {
  for (const PopulationSplit split : kSplits)
    if (text == to_string(split)) return split;
  fail_input(where, "expected a split (train, validation, test), got ", in_quotes(text));
}

std::vector<int> parse_widths(const Json& list, const std::string& where) {
  if (!list.is_array() || list.size() < 2)
    fail_input(where, "expected a list of at least two widths (inputs, ..., outputs), got ", in_quotes(list.dump()));
  std::vector<int> widths;
  for (const Json& width : list) {
    if (!width.is_number_unsigned() || width.get<std::uint64_t>() < 1 || width.get<std::uint64_t>() > kWidestLayer)
      fail_input(where, "expected whole numbers from 1 to ", kWidestLayer, ", got ", in_quotes(width.dump()));
    widths.push_back(width.get<int>());
  }
  return widths;
}

void allow_only(const Json& object, const std::vector<std::string>& keys, const std::string& where) {
  for (const auto& [key, value] : object.items())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      fail_input(where, "unknown key ", in_quotes(key), "; did you mean '", nearest_name(key.substr(0, 64), keys),
                 "'?");
}

void check_format(const Json& manifest, const std::string& where) {
  if (const std::string& format = json_text(manifest, "format", where); format != kPopulationFormat)
    fail_input(where + ": format", "expected '", kPopulationFormat, "', got ", in_quotes(format));
  const Json& version = json_member(manifest, "version", where);
  if (version != Json(kPopulationVersion))
    fail_input(where + ": version", "expected ", kPopulationVersion, ", got ", in_quotes(version.dump()),
               "; written by another version of amend");
}

/// Name uniqueness, and that no training run is in two splits: its snapshots resemble each other.
void check_runs(const Population& population, const std::string& where) {
  std::set<std::string_view> names;
  std::map<std::string_view, PopulationSplit> split_of_run;
  for (std::size_t i = 0; i < population.networks.size(); ++i) {
    const SubjectNetwork& network = population.networks[i];
    if (network.name.empty()) fail_input(where, "expected a name for network ", i);
    if (!names.insert(network.name).second)
      fail_input(where, "expected each name once, got ", in_quotes(network.name), " twice");
    const auto [run, first] = split_of_run.emplace(network.run, population.split[i]);
    if (!first && run->second != population.split[i])
      fail_input(where, "run ", in_quotes(network.run), " is in two splits, ", to_string(run->second), " and ",
                 to_string(population.split[i]), "; networks of one run never split up");
  }
}

void parse_network(Json& entry, const std::string& where, Population& population) {
  SubjectNetwork network;
  network.name = json_text(entry, "name", where);
  network.run = json_text(entry, "run", where);
  network.widths = parse_widths(json_member(entry, "widths", where), where + ".widths");
  network.activation = parse_activation(json_text(entry, "activation", where), where + ".activation");
  population.split.push_back(parse_split(json_text(entry, "split", where), where + ".split"));
  population.networks.push_back(std::move(network));
  for (const std::string& key : kNetworkKeys) entry.erase(key);
  population.attributes.push_back(std::move(entry));
}

Population parse_manifest(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) fail_input(folder.string(), "expected a population folder, found none");
  const std::string where = (folder / kManifestName).string();
  Json manifest = load_json(folder / kManifestName);
  check_format(manifest, where);
  allow_only(manifest, {"format", "version", "dataset", "networks", "provenance"}, where);

  Population population;
  const Json& dataset = json_member(manifest, "dataset", where);
  population.dataset_name = json_text(dataset, "name", where + ": dataset");
  population.dataset_source = json_text(dataset, "description", where + ": dataset");
  population.dataset_fingerprint = json_text(dataset, "fingerprint", where + ": dataset");
  allow_only(dataset, {"name", "description", "fingerprint"}, where + ": dataset");
  population.provenance = json_member(manifest, "provenance", where);
  if (!json_member(manifest, "networks", where).is_array()) fail_input(where + ": networks", "expected a list");
  Json& networks = manifest["networks"];
  for (std::size_t i = 0; i < networks.size(); ++i)
    parse_network(networks[i], where + ": networks[" + std::to_string(i) + "]", population);
  check_runs(population, where);
  return population;
}

/// The tensors of a file by name, each of which belongs to one network.
class TensorPlaces {
 public:
  TensorPlaces(const SafetensorsHeader& header, const std::string& where) : where_(where) {
    for (const SafetensorsEntry& entry : header.entries) unclaimed_.emplace(entry.tensor.name, &entry);
  }

  /// Where the data of a tensor of the given shape begin.
  std::uint64_t claim(const std::string& name, const std::vector<std::int64_t>& shape) {
    const auto found = unclaimed_.find(name);
    if (found == unclaimed_.end()) fail_input(where_, "expected a tensor ", in_quotes(name), ", found none");
    const SafetensorsEntry& entry = *found->second;
    const std::string where = where_ + ": tensor " + in_quotes(name);
    if (entry.tensor.dtype != "F32") fail_input(where, "expected dtype F32, got ", entry.tensor.dtype);
    if (entry.tensor.shape != shape)
      fail_input(where, "expected shape ", shape_text(shape), " by the widths in ", kManifestName, ", got ",
                 shape_text(entry.tensor.shape));
    unclaimed_.erase(found);
    return entry.begin;
  }

  void check_all_claimed() const {
    if (!unclaimed_.empty())
      fail_input(where_, "tensor ", in_quotes(unclaimed_.begin()->first), " belongs to no network of ", kManifestName);
  }

 private:
  const std::string& where_;
  std::unordered_map<std::string_view, const SafetensorsEntry*> unclaimed_;
};

std::string network_in(const std::string& where, const SubjectNetwork& network) {
  return where + ": network " + in_quotes(network.name);
}

/// Throws unless `folder` is free, empty, or a population and nothing else: it will be removed with all it holds.
void check_overwritable(const fs::path& folder) {
  const std::string where = folder.string();
  std::error_code error;
  if (!fs::exists(folder, error)) return;
  if (!fs::is_directory(folder, error)) fail_input(where, "expected a folder or nothing, found a file");
  fs::directory_iterator entries(folder, error);
  if (error) fail_input(where, "cannot be read: ", error.message());
  bool empty = true;
  for (const fs::directory_entry& entry : entries) {
    empty = false;
    const std::string name = entry.path().filename().string();
    if (name != kManifestName && name != kTensorsName)
      fail_input(where, "exists and holds ", in_quotes(name), "; only a population or an empty folder is overwritten");
  }
  if (empty) return;
  const fs::path manifest = folder / kManifestName;
  if (json_text(load_json(manifest), "format", manifest.string()) != kPopulationFormat)
    fail_input(where, "exists and is not a population; it is not overwritten");
}

void check_population(const Population& population, const std::string& where) {
  check(population.split.size() == population.networks.size() &&
            population.attributes.size() == population.networks.size(),
        "save_population", "expected a split and attributes for each of ", population.networks.size(),
        " networks, got ", population.split.size(), " and ", population.attributes.size());
  for (std::size_t i = 0; i < population.networks.size(); ++i) {
    try {
      Json({population.networks[i].name, population.networks[i].run}).dump();
    } catch (const Json::exception& exception) {  // a name that is not UTF-8
      fail("save_population", exception.what());
    }
    const Json& attributes = population.attributes[i];
    check(attributes.is_object() || attributes.is_null(), "save_population",
          "expected attributes to be an object, got ", attributes.type_name());
    for (const std::string& key : kNetworkKeys)
      check(!attributes.contains(key), "save_population", "attribute '", key, "' has the name of a member");
  }
  check_runs(population, where);
}

Json manifest_of(const Population& population) {
  Json networks = Json::array();
  for (std::size_t i = 0; i < population.networks.size(); ++i) {
    const SubjectNetwork& network = population.networks[i];
    Json entry = population.attributes[i].is_null() ? Json::object() : population.attributes[i];
    entry["name"] = network.name;
    entry["run"] = network.run;
    entry["split"] = to_string(population.split[i]);
    entry["widths"] = network.widths;
    entry["activation"] = to_string(network.activation);
    networks.push_back(std::move(entry));
  }
  return {{"format", kPopulationFormat},
          {"version", kPopulationVersion},
          {"dataset",
           {{"name", population.dataset_name},
            {"description", population.dataset_source.string()},
            {"fingerprint", population.dataset_fingerprint}}},
          {"networks", std::move(networks)},
          {"provenance", population.provenance}};
}

std::vector<SafetensorsTensor> tensors_of(const Population& population) {
  std::vector<SafetensorsTensor> tensors;
  for (const SubjectNetwork& network : population.networks) {
    for (int layer = 0; layer < network.layers(); ++layer) {
      const std::int64_t inputs = network.widths[layer], outputs = network.widths[layer + 1];
      tensors.push_back({tensor_name(network.name, layer, "weight"), "F32", {outputs, inputs}, {}});
      tensors.push_back({tensor_name(network.name, layer, "bias"), "F32", {outputs}, {}});
    }
  }
  return tensors;
}

/// Calls `write`; an error of it names a file in the temporary folder, and becomes one that names `folder`.
template <class Write>
void write_into(const fs::path& folder, const Write& write) {
  try {
    write();
  } catch (const InputError& failure) {
    fail_input(folder.string(), "cannot be written: ", failure.what());
  }
}

/// `folder`, once it is known that `outline` may be written there.
const fs::path& writable(const Population& outline, const fs::path& folder) {
  check_population(outline, folder.string());
  check_overwritable(folder);
  return folder;
}

/// Where the parameters of a layer are in the vectors of its network.
struct LayerRange {
  LayerRange(const SubjectNetwork& network, int layer)
      : weight(static_cast<std::size_t>(network.weight_offset(layer))),
        weights(static_cast<std::size_t>(network.weight_offset(layer + 1)) - weight),
        bias(static_cast<std::size_t>(network.bias_offset(layer))),
        biases(static_cast<std::size_t>(network.bias_offset(layer + 1)) - bias) {}
  std::size_t weight, weights, bias, biases;
};

}  // namespace

PopulationReader::PopulationReader(const fs::path& folder)
    : tensors_name_((folder / kTensorsName).string()),
      outline_(parse_manifest(folder)),
      tensors_(folder / kTensorsName) {
  const SafetensorsHeader header = tensors_.take_header();
  TensorPlaces places(header, tensors_name_);
  for (const SubjectNetwork& network : outline_.networks) {
    first_place_.push_back(place_.size());
    for (int layer = 0; layer < network.layers(); ++layer) {
      const std::int64_t inputs = network.widths[layer], outputs = network.widths[layer + 1];
      const std::uint64_t weight = places.claim(tensor_name(network.name, layer, "weight"), {outputs, inputs});
      place_.push_back({weight, places.claim(tensor_name(network.name, layer, "bias"), {outputs})});
    }
  }
  places.check_all_claimed();
}

void PopulationReader::read(std::size_t index, SubjectNetwork& network) const {
  network = outline_.networks[index];
  network.weights.resize(static_cast<std::size_t>(network.weight_count()));
  network.biases.resize(static_cast<std::size_t>(network.bias_count()));
  const auto read_tensor = [&](std::uint64_t begin, std::span<float> values, int layer, const char* kind) {
    tensors_.read(begin, std::as_writable_bytes(values));
    check_finite(values, tensor_name(network.name, layer, kind), tensors_name_);
  };
  for (int layer = 0; layer < network.layers(); ++layer) {
    const LayerPlace& place = place_[first_place_[index] + static_cast<std::size_t>(layer)];
    const LayerRange range(network, layer);
    read_tensor(place.weight, std::span(network.weights).subspan(range.weight, range.weights), layer, "weight");
    read_tensor(place.bias, std::span(network.biases).subspan(range.bias, range.biases), layer, "bias");
  }
}

PopulationWriter::PopulationWriter(const Population& outline, const fs::path& folder)
    : outline_(&outline), folder_(folder), output_(writable(outline, folder)) {
  // Paths may hold bytes that are no UTF-8.
  const std::string manifest = manifest_of(outline).dump(1, ' ', false, Json::error_handler_t::replace);
  write_into(folder_, [&] {
    write_file_atomically(output_.temporary() / kManifestName, manifest + '\n');
    tensors_.emplace(output_.temporary() / kTensorsName, tensors_of(outline),
                     std::map<std::string, std::string>{{"format", "pt"}, {"amend.format", kPopulationFormat}});
  });
}

void PopulationWriter::write(const SubjectNetwork& network) {
  check(written_ < outline_->networks.size(), "save_population", "expected no more networks than ", written_);
  const SubjectNetwork& expected = outline_->networks[written_];
  check(network.name == expected.name && network.widths == expected.widths, "save_population", "expected network ",
        in_quotes(expected.name), " as it was announced, got ", in_quotes(network.name));
  validate(network, network_in(folder_.string(), network));
  write_into(folder_, [&] {
    for (int layer = 0; layer < network.layers(); ++layer) {
      const LayerRange range(network, layer);
      tensors_->write(std::as_bytes(std::span(network.weights).subspan(range.weight, range.weights)));
      tensors_->write(std::as_bytes(std::span(network.biases).subspan(range.bias, range.biases)));
    }
  });
  ++written_;
}

void PopulationWriter::commit() {
  check(written_ == outline_->networks.size(), "save_population", "expected ", outline_->networks.size(),
        " networks, got ", written_);
  write_into(folder_, [&] { tensors_->commit(); });
  output_.commit();
}

}  // namespace amend
