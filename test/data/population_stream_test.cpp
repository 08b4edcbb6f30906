#include "metanet/data/population_stream.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "test/support/data_files.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Population population_of(std::vector<SubjectNetwork> networks) {
  Population population{.dataset_name = "tiny", .dataset_source = "tiny.yaml", .dataset_fingerprint = "abc"};
  population.split.assign(networks.size(), PopulationSplit::train);
  population.attributes.assign(networks.size(), nlohmann::json::object());
  population.networks = std::move(networks);
  population.provenance = {{"seed", 7}};
  return population;
}

Population three_networks() {
  return population_of({random_network({3, 4, 2}, Activation::relu, 1), random_network({3, 2}, Activation::tanh, 2),
                        random_network({3, 5, 4, 2}, Activation::silu, 3)});
}

/// Changes float `index`, counted from the end, of a file.
void put_from_end(const std::filesystem::path& file, std::size_t index, float value) {
  std::string bytes = read_bytes(file);
  std::memcpy(bytes.data() + bytes.size() - 4 * index, &value, 4);
  write_bytes(file, bytes);
}

std::string float_bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), 4 * values.size()};
}

}  // namespace

TEST_CASE("a population folder has the bytes that its format asks for") {
  const TemporaryFolder folder;
  SubjectNetwork network{"n", {2, 1, 1}, Activation::relu, {1, 2, 3}, {4, 5}, "r"};
  Population population = population_of({network});
  population.attributes[0] = {{"training", {{"epochs", 3}}}};
  save_population(population, folder / "p");
  const std::string header = R"({"__metadata__":{"amend.format":"amend-population","format":"pt"},)"
                             R"("n.0.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                             R"("n.0.bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                             R"("n.1.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[12,16]},)"
                             R"("n.1.bias":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}})";
  const std::string blanks((8 - header.size() % 8) % 8, ' ');
  const std::uint64_t length = header.size() + blanks.size();
  std::string expected(8, '\0');
  std::memcpy(expected.data(), &length, 8);
  expected += header + blanks + float_bytes({1, 2, 4, 3, 5});
  CHECK(read_bytes(folder / "p/networks.safetensors") == expected);
  CHECK(read_bytes(folder / "p/manifest.json") == R"({
 "dataset": {
  "description": "tiny.yaml",
  "fingerprint": "abc",
  "name": "tiny"
 },
 "format": "amend-population",
 "networks": [
  {
   "activation": "relu",
   "name": "n",
   "run": "r",
   "split": "train",
   "training": {
    "epochs": 3
   },
   "widths": [
    2,
    1,
    1
   ]
  }
 ],
 "provenance": {
  "seed": 7
 },
 "version": 1
}
)");
}

TEST_CASE("networks of a population are read one by one, in any order, into memory that is there") {
  const TemporaryFolder folder;
  const Population written = three_networks();
  save_population(written, folder / "p");
  const PopulationReader reader(folder / "p");
  REQUIRE(reader.outline().networks.size() == 3);
  for (std::size_t n = 0; n < 3; ++n) {
    CHECK(reader.outline().networks[n].name == written.networks[n].name);
    CHECK(reader.outline().networks[n].widths == written.networks[n].widths);
    CHECK(reader.outline().networks[n].weights.empty());
    CHECK(reader.outline().networks[n].biases.empty());
  }
  SubjectNetwork network;
  const float* memory = nullptr;
  for (const std::size_t n : {2u, 0u, 1u, 2u}) {
    reader.read(n, network);
    CHECK(network.name == written.networks[n].name);
    CHECK(network.run == written.networks[n].run);
    CHECK(network.activation == written.networks[n].activation);
    CHECK(network.weights == written.networks[n].weights);
    CHECK(network.biases == written.networks[n].biases);
    if (!memory) memory = network.weights.data();
    CHECK(network.weights.data() == memory);
  }
}

TEST_CASE("tensors of a population may be in any order in their file") {
  const TemporaryFolder folder;
  const Population written = three_networks();
  save_population(written, folder / "p");
  SafetensorsFile tensors = load_safetensors(folder / "p/networks.safetensors");
  std::reverse(tensors.tensors.begin(), tensors.tensors.end());
  save_safetensors(folder / "p/networks.safetensors", tensors);
  const Population read = load_population(folder / "p");
  for (std::size_t n = 0; n < 3; ++n) {
    CHECK(read.networks[n].weights == written.networks[n].weights);
    CHECK(read.networks[n].biases == written.networks[n].biases);
  }
}

TEST_CASE("a number that is not finite is an error of its network alone, that names file and tensor") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "p/networks.safetensors";
  save_population(three_networks(), folder / "p");
  put_from_end(file, 1, kNaN);
  const PopulationReader reader(folder / "p");
  SubjectNetwork network;
  reader.read(0, network);
  reader.read(1, network);
  const std::string message =
      file.string() + ": tensor \"random-3.2.bias\": expected finite numbers within float32, got nan at element 1";
  CHECK(input_error([&] { reader.read(2, network); }) == message);
  CHECK(input_error([&] { load_population(folder / "p"); }) == message);
}

TEST_CASE("a file of weights that is cut short is an error that names it, before and after it was opened") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "p/networks.safetensors";
  save_population(three_networks(), folder / "p");
  const PopulationReader reader(folder / "p");
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 4);
  SubjectNetwork network;
  reader.read(0, network);
  CHECK(input_error([&] { reader.read(2, network); }) == file.string() + ": cannot be read");
  CHECK_THAT(input_error([&] { PopulationReader(folder / "p"); }),
             StartsWith(file.string() + ": tensor \"random-3.2.bias\": truncated"));
}

TEST_CASE("a population that is written network by network appears whole or not at all") {
  const TemporaryFolder folder;
  const Population population = three_networks();
  Population outline = population;
  for (SubjectNetwork& network : outline.networks) network.weights = network.biases = {};
  save_population(population, folder / "whole");
  const auto write = [&](const std::vector<SubjectNetwork>& networks) {
    PopulationWriter writer(outline, folder / "p");
    for (const SubjectNetwork& network : networks) writer.write(network);
    writer.commit();
  };
  std::vector<SubjectNetwork> networks = population.networks;
  networks[2].biases[0] = kNaN;
  CHECK_THROWS_WITH(write(networks), StartsWith((folder / "p").string() + ": network \"random-3\"") &&
                                         Contains("expected finite biases, got nan at 0"));
  networks = population.networks;
  networks[1].weights.pop_back();
  CHECK_THROWS_WITH(write(networks), Contains("expected 6 weights"));
  networks = population.networks;
  std::swap(networks[1], networks[2]);
  CHECK_THROWS_WITH(write(networks), Contains("expected network \"random-2\"") && Contains("got \"random-3\""));
  networks = population.networks;
  networks[1].widths = {2, 3};
  CHECK_THROWS_WITH(write(networks), Contains("expected network \"random-2\""));
  networks = population.networks;
  networks.pop_back();
  CHECK_THROWS_WITH(write(networks), Contains("expected 3 networks, got 2"));
  networks = population.networks;
  networks.push_back(networks[0]);
  CHECK_THROWS_WITH(write(networks), Contains("no more networks than 3"));
  CHECK(folder.entries() == 1);  // `whole`

  write(population.networks);
  for (const std::string file : {"manifest.json", "networks.safetensors"})
    CHECK((read_bytes(folder / "p" / file) == read_bytes(folder / "whole" / file)));
  CHECK(folder.entries() == 2);
}

TEST_CASE("data of a safetensors file come in any pieces, all of them and no more") {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3};
  const SafetensorsFile contents{
      {make_float_tensor("a", {2}, std::span(values).first(2)), make_float_tensor("b", {1}, std::span(values).last(1))},
      {{"format", "pt"}}};
  save_safetensors(folder / "whole", contents);
  const auto bytes = std::as_bytes(std::span(values));
  const auto write = [&](std::initializer_list<std::size_t> pieces) {
    SafetensorsWriter writer(folder / "streamed", contents.tensors, contents.metadata);
    std::size_t begin = 0;
    for (const std::size_t piece : pieces) writer.write(bytes.subspan(std::exchange(begin, begin + piece), piece));
    writer.commit();
  };
  CHECK_THROWS_WITH(write({4, 7}), Contains("expected 1 more bytes"));
  SafetensorsWriter writer(folder / "streamed", contents.tensors, contents.metadata);
  writer.write(bytes);
  CHECK_THROWS_WITH(writer.write(bytes.first(1)), Contains("expected 0 more bytes of data, got 1"));
  CHECK_FALSE(std::filesystem::exists(folder / "streamed"));
  write({5, 0, 7});
  CHECK(read_bytes(folder / "streamed") == read_bytes(folder / "whole"));
}
